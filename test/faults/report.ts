import { writeFile } from 'node:fs/promises';

/** Fault x point: how often it was tried and how often the deploy survived. */
export class StrikeTable {
  private readonly cells = new Map<string, Map<string, Cell>>();

  add(fault: string, point: string, survived: boolean): void {
    const row = this.cells.get(fault) ?? new Map<string, Cell>();
    this.cells.set(fault, row);
    const cell = row.get(point) ?? { tried: 0, survived: 0 };
    row.set(point, { tried: cell.tried + 1, survived: cell.survived + (survived ? 1 : 0) });
  }

  /** Markdown; a cell is `survived/tried`. */
  text(): string {
    const points = [...new Set([...this.cells.values()].flatMap((row) => [...row.keys()]))];
    const lines = [...this.cells].map(([fault, row]) => [
      fault,
      ...points.map((point) => cellText(row.get(point))),
      cellText(total([...row.values()])),
    ]);
    const all = total([...this.cells.values()].flatMap((row) => [...row.values()]));
    return [
      ['fault', ...points, 'all'],
      ['', ...points, ''].map(() => '---'),
      ...lines,
      ['all', ...points.map(() => ''), cellText(all)],
    ]
      .map((words) => `| ${words.join(' | ')} |`)
      .join('\n');
  }

  /** After each strike, so that a run that is ended early has a table too. */
  async write(file: string | undefined): Promise<void> {
    if (file !== undefined && this.cells.size > 0) await writeFile(file, `${this.text()}\n`);
  }

  print(): void {
    if (this.cells.size > 0) process.stdout.write(`\n${this.text()}\n`);
  }
}

interface Cell {
  readonly tried: number;
  readonly survived: number;
}

function total(cells: readonly Cell[]): Cell {
  return {
    tried: cells.reduce((sum, cell) => sum + cell.tried, 0),
    survived: cells.reduce((sum, cell) => sum + cell.survived, 0),
  };
}

function cellText(cell: Cell | undefined): string {
  return cell === undefined ? '' : `${cell.survived}/${cell.tried}`;
}
