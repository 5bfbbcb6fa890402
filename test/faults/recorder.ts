import { readFile } from 'node:fs/promises';
import type { Testbed } from '../support/hosts.ts';
import { eventually } from '../support/scenario.ts';

/** A second socket of each host's engine that writes down what it is asked. */
export interface Recorder extends AsyncDisposable {
  readonly socket: string;
  /** `METHOD PATH HTTP/1.1`, in the order they came. */
  calls(host: string): Promise<readonly string[]>;
}

const CONTAINER = 'cu-faults-recorder';
const FOLDER = '/run/cu-faults-recorder';
const SOCKET = `${FOLDER}/docker.sock`;
const LOG = `${FOLDER}/calls`;

export async function startRecorder(testbed: Testbed, hosts: readonly string[]): Promise<Recorder> {
  const program = await readFile(new URL('recorder.py', import.meta.url), 'utf8');
  const remove = async (host: string): Promise<void> => {
    await testbed.exec(host, ['docker', 'rm', '-f', CONTAINER]);
    await testbed.exec(host, ['rm', '-rf', FOLDER]);
  };
  for (const host of hosts) {
    await remove(host);
    await testbed.exec(host, ['mkdir', '-p', '-m', '755', FOLDER]);
    const mounts = ['-v', `${FOLDER}:${FOLDER}`, '-v', '/run/docker.sock:/run/docker.sock'];
    const argv = ['docker', 'run', '-d', '--name', CONTAINER, ...mounts, 'python:3.13-slim'];
    const { exitCode, stderr } = await testbed.exec(host, [...argv, 'python', '-c', program, SOCKET, LOG]);
    if (exitCode !== 0) throw new Error(`the recorder of ${host}: ${stderr}`);
    await eventually(async () => {
      if ((await testbed.exec(host, ['test', '-S', SOCKET])).exitCode !== 0) throw new Error(`no ${SOCKET} on ${host}`);
    });
  }
  return {
    socket: SOCKET,
    calls: async (host) => (await testbed.exec(host, ['cat', LOG])).stdout.split('\n').filter((line) => line !== ''),
    [Symbol.asyncDispose]: async () => {
      for (const host of hosts) await remove(host);
    },
  };
}
