"""The payload: runs one cell somewhere, and reports what it does as JSON events, one a line.

Python 3.8 or newer and the standard library only; IPython, cloudpickle and matplotlib are used when
they are there. It is imported as ``ganga_kernel.payload`` on the submit side, and as
``_ganga_kernel.payload`` inside the notebook's own kernel and on the worker (from an archive that
`archive.build` makes), so it imports nothing else of ganga-kernel, and only relatively.

    __main__      the command: arguments, what happens when the payload itself can't do its work
    run           the order of things: description, environment, namespace, cell, result
    job           the job description, and where its files are
    environment   environment variables, import path and folder, as the notebook has them
    packages      what the worker's environment lacks of the notebook's
    events        the event stream
    outputs       everything a cell shows, in order: sys.stdout and sys.stderr, displays, errors
    capture       what C code and child processes write to file descriptors 1 and 2
    progress      how far a cell has got: `progress`, and the events that come of it
    tqdmbars      tqdm's bars tell it, too
    shell, plain  run a cell with IPython, or without
    cellname      the file name that a cell has in errors
    tracebacks    no frame of ours in a user's traceback
    termination   SIGTERM from the batch system
    stdin         a batch cell can't ask for input
    imports       submodules that the cell uses through their package
    chunk, items  several items of a map in one process, and the files in which they travel
    seeds         random numbers of items
    result        which names the cell left, and the result file
    sealed        result files: signed by the job's key, and verified as they are read; used on both sides
    pickling, unpickling  namespaces to files and back; used on both sides
    buffers       large buffers apart from their pickle, hashed and moved by all cores
    reductions    kinds of objects that pickle can't take by itself
    lenient       reading a pickle of which a part can't be made here
    changes       which inputs the cell has changed
    frames        local variables where the cell failed
    shipped       modules of the user's own, imported from the files that came along
    used          memory, time and disk that the job used
    sources       cells' source text travels with their functions, for tracebacks and `inspect`
    unavailable   what stands for a value that couldn't travel
    archive       builds the archive (submit side only)
"""
