/** Where progress goes; the caller decides whether anybody reads it. */
export type Say = (line: string) => void;
