# Functions of ../etl.yaml for the flat JSON objects that its tasks hand on.

# field KEY reads an object from the standard input, and prints the text or number at a key.
field() {
  tr '\n' ' ' | sed -nE "s/.*\"$1\": *\"?([^,\"}]*[^,\"} ])\"? *[,}].*/\1/p"
}

# objects reads an array of flat objects, and prints one a line, null left out.
objects() {
  tr -d '\n' | grep -oE '\{[^}]*\}'
}

# counted TITLE reads names, one a line, and prints what they are as an object: how many
# different ones there are, and which comes how often, more often than any other.
counted() {
  LC_ALL=C sort | uniq -c | LC_ALL=C sort -k1,1nr -k2,2 | awk -v title="$1" '
    NR == 1 { most = $1; name = $2 }
    END { printf "{\"title\": \"%s\", \"groups\": %d, \"largest\": \"%s\", \"count\": %d}\n", title, NR, name, most }'
}
