#!/bin/sh
# Operands are found by the names of ops.def, nowhere by a number; and with a row more in ops.def each host device asks
# for the operation's function, everything else compiles as it is.
cd "$(dirname "$0")/../.." || exit 1
. tests/support/script.sh

# numbers GREP-OPTIONS... FILE...: the lines with a bare number as an operand's position. A graph's layers have none.
number='\<(in|out)puts\[[0-9]|\<([a-z]+_)?(in|out)put(_shape)?\([a-z_]+(, [a-z_]+)*, [0-9]+\)'
layers='lower_input(_layer)?\(|layers?(\[[^]]*\])?(\.|->)inputs\['
numbers() { grep -nE "$number" "$@" | grep -vE "$layers"; }
# The same for the tests, whose layers have other names, too: operations are pointed to or stand in `ops`.
numbers_of_tests() { numbers "$@" | grep -E '(->|\<ops\[[^]]*\]\.)(in|out)puts\[[0-9]|put(_shape)?\('; }
# finds FUNCTION: how many it finds in the sample.
finds() { "$1" "$work/sample" | wc -l | tr -d ' '; }

cat >"$work/sample" <<'END'
    y = op->outputs[0];
    y = program->ops[i].inputs[12];
    const double *x = ref_input(call, 0);
    struct shape s = op_output_shape(call, 1);
    x = op->inputs[CONV_IN_X], y = cpu_output(call, SPLIT_OUT_DX + 1);
    layer.inputs[0] = graph->layers[1].inputs[0];
END
check "the sample: $(finds numbers) numbers found, expected 4" [ "$(finds numbers)" -eq 4 ]
check "the sample of tests: $(finds numbers_of_tests) found, expected 4" [ "$(finds numbers_of_tests)" -eq 4 ]
found=$(numbers -r --include='*.[ch]' --include='*.cu' --include='*.cuh' host/program host/device host/ref host/cpu \
    cuda)
check "operands by numbers: $found" [ -z "$found" ]
found=$(numbers_of_tests -r --include='*.[ch]' --include='*.cpp' tests)
check "operands by numbers in tests: $found" [ -z "$found" ]

# A forgotten operation.
mkdir -p "$work/host/program"
cp host/program/ops.def "$work/host/program/ops.def"
cat >>"$work/host/program/ops.def" <<'END'
PROG_OP(FORGOTTEN, forgotten, "forgotten", NONE,
        IN(FORGOTTEN, X, ACTIVATION, SINGLE) IN(FORGOTTEN, Z, ACTIVATION, OPTIONAL),
        OUT(FORGOTTEN, Y, ACTIVATION, VARIADIC))
END
for file in host/program/*.c host/ref/*.c host/cpu/*.c; do
    if ! "${CC:-cc}" -std=c17 -Wall -Wextra -Wpedantic -Werror -D_GNU_SOURCE -fopenmp -I "$work" -I . -c "$file" \
        -o "$work/object.o" 2>"$work/log"; then
        fail "an operation: $file: $(head -n 1 "$work/log"), expected none"
        continue
    fi
    wanted=$(nm -u "$work/object.o" | grep -c '_run_forgotten$')
    case "$file" in
    host/ref/ref_program.c | host/cpu/cpu_program.c)
        check "an operation: $file asks for $wanted functions, expected 1" [ "$wanted" -eq 1 ] ;;
    *) check "an operation: $file asks for its function" [ "$wanted" -eq 0 ] ;;
    esac
done

finish
