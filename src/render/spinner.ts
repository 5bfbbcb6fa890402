import ora from 'ora';

/** A single short wait, such as connecting, drawn by ora. */
export function createSpinner(stream: NodeJS.WritableStream): (text: string) => () => void {
  return (text) => {
    // stdin belongs to questions and to Ctrl-C.
    const spinner = ora({ text, stream, discardStdin: false, isEnabled: true }).start();
    return () => spinner.stop();
  };
}
