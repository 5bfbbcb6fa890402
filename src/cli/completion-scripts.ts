export const SHELLS = ['bash', 'zsh', 'fish', 'powershell'] as const;

/** What a shell evaluates; each asks `cu completion --words`, which reads the config and never the network. */
export function completionScript(shell: (typeof SHELLS)[number]): string {
  return { bash: BASH, zsh: ZSH, fish: FISH, powershell: POWERSHELL }[shell];
}

const BASH = `# bash: source <(cu completion bash)
_cu() {
  local IFS=$'\\n'
  COMPREPLY=($(cu completion --words -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  if [ \${#COMPREPLY[@]} -eq 0 ]; then compopt -o default; fi
}
complete -F _cu cu
`;

const ZSH = `#compdef cu
# zsh: source <(cu completion zsh)
_cu() {
  local -a found
  found=("\${(@f)$(cu completion --words -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${found[1]}" ]]; then compadd -a found; else _files; fi
}
compdef _cu cu
`;

const FISH = `# fish: cu completion fish | source
function __cu_words
  set -l words (commandline -opc) (commandline -ct)
  cu completion --words -- $words[2..-1] 2>/dev/null
end
complete -c cu -a '(__cu_words)'
`;

const POWERSHELL = `# powershell: cu completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName cu -ScriptBlock {
  param($word, $line)
  $words = @($line.CommandElements | Select-Object -Skip 1 | ForEach-Object { "$_" })
  if ($word -eq '') { $words += '""' }
  cu completion --words -- @words 2>$null | ForEach-Object { [System.Management.Automation.CompletionResult]::new($_) }
}
`;
