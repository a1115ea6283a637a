#compdef leoflow
# Completion of leoflow for zsh. For every shell to come, in a directory of $fpath:
#   leoflow completion zsh >"${fpath[1]}/_leoflow"
# for this one:
#   source <(leoflow completion zsh)

_leoflow() {
  local -a lines candidates
  local line value
  lines=("${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  case ${lines[1]} in
    files)
      compset -P '--*='
      _files
      ;;
    directories)
      compset -P '--*='
      _files -/
      ;;
    words)
      for line in "${(@)lines[2,-1]}"; do
        value=${${line%%$'\t'*}//:/\\:}
        if [[ $line == *$'\t'* ]]; then
          candidates+=("$value:${line#*$'\t'}")
        else
          candidates+=("$value")
        fi
      done
      _describe leoflow candidates
      ;;
  esac
}

if [[ ${funcstack[1]} == _leoflow ]]; then
  _leoflow "$@"
else
  compdef _leoflow leoflow
fi
