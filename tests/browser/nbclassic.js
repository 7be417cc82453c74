// What a test asks of nbclassic's page.

const notebook = Jupyter.notebook;

const front = {
    // The kernel of the notebook, as the page knows it.
    kernel: () => ({
        notebook: notebook.notebook_path,
        status: !notebook.kernel.info_reply.banner ? 'none'
            : document.querySelector('#kernel_indicator_icon.kernel_idle_icon') ? 'idle' : 'busy',
        id: notebook.kernel.id,
    }),

    // The cells as a reader sees them.
    cells: () => notebook.get_cells().map(cell => ({
        prompt: cell.element[0].querySelector('.input_prompt').innerText,
        outputs: [...cell.element[0].querySelectorAll('.output_area')].map((node, index) => ({
            prompt: node.querySelector('.prompt')?.innerText ?? '',
            node: node.querySelector('.output_subarea'),
            model: cell.output_area.outputs[index] ?? {},
        })),
    })),

    run: index => { notebook.execute_cells([index]); },

    runAll: () => { notebook.execute_all_cells(); },

    add: source => { notebook.insert_cell_at_bottom('code').set_text(source); },

    saved: () => !notebook.dirty,
};
