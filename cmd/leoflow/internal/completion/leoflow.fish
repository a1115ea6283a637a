# Completion of leoflow for fish. For every shell to come:
#   leoflow completion fish >~/.config/fish/completions/leoflow.fish
# for this one:
#   leoflow completion fish | source

function __leoflow_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -l lines ($program complete -- $words[2..-1] "$current" 2>/dev/null)
    set -l before (string match -r -- '^--[^=]*=' "$current")
    set -l path (string replace -r -- '^--[^=]*=' '' "$current")
    switch "$lines[1]"
        case files
            __fish_complete_path "$path" | string replace -r -- '^' "$before"
        case directories
            __fish_complete_directories "$path" | string replace -r -- '^' "$before"
        case words
            printf '%s\n' $lines[2..-1]
    end
end

complete -c leoflow -f -a '(__leoflow_complete)'
