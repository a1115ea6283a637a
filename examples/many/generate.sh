#!/usr/bin/env bash
# Writes ../many.yaml: 200 small tasks, of which 198 run side by side.
set -euo pipefail
cat <<'YAML'
# yaml-language-server: $schema=../schema/pipeline.schema.json
# Made by many/generate.sh: change that, and run it with its output into this file.
name: many
description: 200 small tasks. One hands on a number, 198 multiply it with one of their own, and one adds them all up.
version: "1"

defaults:
  timeout: 60s

tasks:
  - id: seed
    bash: echo 3 >"$LEOFLOW_RETURN_VALUE_PATH"

YAML
for i in $(seq 198); do
  printf '  - {id: times_%03d, inputs: {seed: seed}, env: {N: %d}, bash: %s}\n' "$i" "$i" \
    "'echo \$((N * LEOFLOW_XCOM_SEED)) >\"\$LEOFLOW_RETURN_VALUE_PATH\"'"
done
cat <<'YAML'

  - id: sum
    description: Gets the 198 numbers as an array, in the order of this list.
    inputs:
      numbers:
YAML
seq -f '        - times_%03g' 198
cat <<'YAML'
    bash: |
      sum=$(tr -d '[]\n' <<<"$LEOFLOW_XCOM_NUMBERS" | tr ',' '\n' | awk '{ sum += $1 } END { print sum }')
      echo "the sum is $sum"
      echo "$sum" >"$LEOFLOW_RETURN_VALUE_PATH"
    returns: {const: 59103} # 3 × (1 + 2 + … + 198)
YAML
