// What a test asks of JupyterLab's page, and of Notebook 7's, which is made of the same parts.

const app = window.jupyterapp;
const panel = app.shell.currentWidget;

const front = {
    // The kernel of the notebook in front, as the page knows it.
    kernel: () => ({
        notebook: panel.context.path,
        status: panel.sessionContext.isReady ? panel.sessionContext.session.kernel.status : 'none',
        id: panel.sessionContext.session?.kernel?.id ?? '',
    }),

    // The cells as a reader sees them.
    cells: () => panel.content.widgets.map(cell => ({
        prompt: cell.node.querySelector('.jp-InputPrompt').innerText,
        outputs: [...cell.node.querySelectorAll('.jp-OutputArea-child')].map((node, index) => ({
            prompt: node.querySelector('.jp-OutputPrompt')?.innerText ?? '',
            node: node.querySelector('.jp-OutputArea-output'),
            model: cell.model.outputs.get(index)?.toJSON() ?? {},
        })),
    })),

    run: index => {
        panel.content.activeCellIndex = index;
        app.commands.execute('notebook:run-cell');
    },

    runAll: () => { app.commands.execute('notebook:run-all-cells'); },

    add: source => {
        const model = panel.content.model.sharedModel;
        model.insertCell(model.cells.length, {cell_type: 'code', source});
    },

    saved: () => !panel.context.model.dirty,
};
