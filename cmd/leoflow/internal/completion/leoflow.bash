# Completion of leoflow for bash. For every shell to come:
#   leoflow completion bash >~/.local/share/bash-completion/completions/leoflow
# for this one:
#   source <(leoflow completion bash)

_leoflow() {
  # bash cuts words at = and : as well; what no blank parts is one word.
  local words=() rest=$COMP_LINE word i count=0 kind='' line
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    rest=${rest#*"${COMP_WORDS[i - 1]}"}
    if ((count > 0)) && [[ -n $word && $rest == "$word"* ]]; then
      words[count - 1]+=$word
    else
      words[count]=$word
      count=$((count + 1))
    fi
  done

  # What bash takes to be the word, and what of ours is before it.
  local own=${COMP_WORDS[COMP_CWORD]} current=${words[count - 1]} before
  case $own in [=:]) own= ;; esac
  before=${current%"$own"}

  COMPREPLY=()
  while IFS= read -r line; do
    if [[ -z $kind ]]; then
      kind=$line
    else
      line=${line%%$'\t'*}
      COMPREPLY+=("${line#"$before"}")
    fi
  done < <("${COMP_WORDS[0]}" complete -- "${words[@]}" 2>/dev/null)

  local form
  case $kind in
    files) form=-f ;;
    directories) form=-d ;;
    *) return ;;
  esac
  compopt -o filenames 2>/dev/null
  while IFS= read -r line; do
    COMPREPLY+=("$line")
  done < <(compgen "$form" -- "$own")
}

complete -F _leoflow leoflow
