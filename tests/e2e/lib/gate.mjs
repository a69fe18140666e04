// A gate in a server's way, so that a test decides when something goes on.

export function gate() {
  let opened = Promise.resolve();
  return {
    passed: () => opened,
    /** Closes the gate and returns the function that opens it again. */
    close() {
      let open;
      opened = new Promise(resolve => {
        open = resolve;
      });
      return open;
    },
  };
}
