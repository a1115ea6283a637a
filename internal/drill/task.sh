# What the tasks of a drill have in common; each begins with: . ./task.sh

# begin ID: how often ID has begun is kept in a directory each, so that a task that
# is run once too often is seen.
begin() {
  local n=1
  while ! mkdir "tries/$1.$n" 2>/dev/null; do n=$((n + 1)); done
  try=$n me=$1/$n
}

# lines N: N lines on stdout, and half as many on stderr, of many lengths.
lines() {
  local i width
  for ((i = 1; i <= $1; i++)); do
    width=$((i % 97 ? i % 80 : 5000))
    echo "$me o $i ${PAD:0:width}"
    if ((i % 2 == 0)); then echo "$me e $((i / 2)) ${PAD:0:width}" >&2; fi
    if ((i % 20 == 0)); then sleep 0.05; fi
  done
}

# want FILE: the input is FILE, byte for byte.
want() { cmp "$LEOFLOW_XCOM_IN_PATH" "values/$1" || exit 9; }

# give FILE: hands FILE on.
give() { cp "values/$1" "$LEOFLOW_RETURN_VALUE_PATH"; }
