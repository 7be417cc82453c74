"""``ganga-kernel run``: a notebook from its first cell to the end of its last job, without a browser.

nbclient, on which `jupyter execute`, nbconvert and papermill rest, sends no tags, and stops to listen to a
cell when its request is idle. So this is a front end of our own, small as it has no screen: `command` is its
command line, `files` reads and saves the notebook, `parameters` puts values into it, `runner` sends its
cells, `client` has the kernel, and `outputs` files what comes back.
"""
