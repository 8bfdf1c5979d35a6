#!/bin/sh
# The page of a first run, in Markdown, from what run.sh has left in its folder OUT so far: sh page.sh OUT. It is
# complete when steps are missing, failed or were cut short: what is not known is left out or "-", and what failed
# comes first.
set -u
out=${1:?usage: page.sh OUT}
[ -f "$out/steps.tsv" ] || { echo "page.sh: $out/steps.tsv is not there" >&2; exit 1; }
set -- "$out/steps.tsv"
for file in "$out/about.txt" "$out"/steps/*.txt; do
    [ -f "$file" ] && set -- "$@" "$file"
done
date=$(date -u -r "$out/steps.tsv" +%Y-%m-%d)
exec awk -v date="$date" -v slow=1.5 -v least=10 '
function trim(text) { gsub(/^[ \t]+|[ \t\r]+$/, "", text); return text }
function known(text) { return text == "" ? "-" : text }
function ratio(a, b) { return a > 0 && b > 0 ? sprintf("%.2f", a / b) : "-" }
function number(text) { return text == "" ? "-" : sprintf("%.0f", text) }

# ---- what each file says ----
FNR == 1 {
    step = FILENAME
    sub(/.*\//, "", step)
    kind = step == "about.txt" || step == "steps.tsv" ? step : "step"
    sub(/\.txt$/, "", step)
    net = ""; columns = 0
}
kind == "about.txt" { at = index($0, ": "); about[substr($0, 1, at - 1)] = substr($0, at + 2); next }
kind == "steps.tsv" {
    split($0, part, "\t")
    if (!(part[1] in status)) order[++steps] = part[1]
    status[part[1]] = part[2]; took[part[1]] = part[3]; limit[part[1]] = part[4]; reason[part[1]] = part[5]
    next
}
# The line that may say why a step failed: the first of those that look like it, else the last of all.
{ gsub(/[\r`]/, "") }
trim($0) != "" { last[step] = trim($0) }
/[Ee]rror|ERROR|CUDA: |expected|annot |not found|hazard|Invalid|NVIDIA driver|No such|no GPU/ && !/ 0 errors| 0 hazards|^\[/ {
    if (!(step in cause)) cause[step] = trim($0)
}
step == "machine" && /^(card|driver|host|pytorch|ncu|compute-sanitizer): / { at = index($0, ": "); fact[substr($0, 1, at - 1)] = substr($0, at + 2) }
step == "devices" && /driver for CUDA/ { fact["libraries"] = trim($0) }
step == "devices" && /^cuda:0 / { fact["device"] = $0 }
step == "devices" && /^real/ { fact["listing"] = $2 }
step == "fsync" && /forced to disk/ { fact["journal"] = $0 }

# cmocka: a failed test is named twice, and the two streams come in any order
/^\[       OK \] / { good[step]++; goods++ }
/^\[  FAILED  \] [A-Za-z_0-9]+ *$/ && !seen[step, $4]++ { bad[step] = bad[step] (bad[step] == "" ? "" : ", ") $4; bads++ }
/^\[  SKIPPED \] [A-Za-z_0-9]+ *$/ && !seen[step, $4]++ { left_out[step] = left_out[step] (left_out[step] == "" ? "" : ", ") $4 }

# bench_train: net h x w x c MFLOP best median share made MiB predicted
/^batch [0-9]+$/ { batch = $2 }
/^[a-z]+ +[0-9]+ x +[0-9]+ x [0-9]+ / && NF == 13 {
    net = $1
    if (step ~ /^bench-[0-9]+$/) {
        key = net " " batch
        if (!(key in best)) { best_order[++bests] = key }
        best[key] = $8; made[key] = $11; predicted[key] = $13
    } else if (step == "bench-again") { again[net " " batch] = $11 }
    else if (step == "operations") { op_batch[net] = batch; op_rate[net] = $8; if (!(net in op_nets)) { op_nets[net] = 1; op_net[++op_net_count] = net } }
}
# a step that is replayed, or could not be recorded: bench_train, and a job with -v
/^ +graph: [0-9]+ nodes/ && net != "" && step ~ /^bench-[0-9]+$/ { nodes[net " " batch] = $2; for (i = 4; i <= NF; i++) if ($i == "us") clock[net " " batch] = $(i - 1) }
/^ +not recorded: / && net != "" { sub(/^ +not recorded: /, ""); unrecorded[step ", " net] = $0 }
/ steps can.t be recorded: / { sub(/.* recorded: /, ""); unrecorded[step] = $0 }
# ... --operations: kind (words) shape times us floor predicted ratio
step == "operations" && NF >= 7 && $(NF - 5) ~ /^[0-9]+x[0-9]+x[0-9]+$/ && net != "" {
    name = $1
    for (i = 2; i <= NF - 6; i++) name = name " " $i
    n = ++ops[net]
    op_name[net, n] = name " " $(NF - 5); op_times[net, n] = $(NF - 4); op_us[net, n] = $(NF - 3)
    op_floor[net, n] = $(NF - 2); op_paper[net, n] = $(NF - 1); op_ratio[net, n] = $NF
    op_sum[net] += $(NF - 3)
}
# torch_train.py: net best median format batch
step ~ /^torch-(eager|reduce-overhead|cudagraphs)$/ && NF == 5 && $2 ~ /^[0-9.]+$/ && $5 ~ /^[0-9]+$/ {
    way = step; sub(/^torch-/, "", way)
    torch[way, $1 " " $5] = $2; ways[way] = 1
}
# a job
step ~ /^job-/ && /^first training step after/ { job_first[step] = $5 }
step ~ /^job-/ && /^accuracy: / { job_accuracy[step] = $2 }
step ~ /^job-/ && /^models tried: / { job_models[step] = $3 }
step ~ /^job-/ && /^elapsed: / { job_elapsed[step] = $2 }
step ~ /^job-/ && /^budget: / { job_budget[step] = $2 }
step ~ /^job-/ && / images\/s/ { for (i = 2; i <= NF; i++) if ($i == "images/s") job_rate[step] = $(i - 1) }
# Nsight Compute: a CSV line a kernel, by the names of its header
step == "counters" && /^"ID",/ { columns = fields($0, title); next }
step == "counters" && columns > 0 && /^"[0-9]+",/ {
    fields($0, value)
    for (i = 1; i <= columns; i++) by[title[i]] = value[i]
    name = by["Kernel Name"]
    sub(/^void /, "", name); sub(/\(.*/, "", name); sub(/<.*/, "", name)
    if (!(name in kernel)) { kernels++; kernel[name] = 0 }
    time = by["gpu__time_duration.sum"]; gsub(/,/, "", time)
    kernel[name] += time; kernel_all += time; kernel_count[name]++; kernel_launches++
    dram[name] += time * by["dram__throughput.avg.pct_of_peak_sustained_elapsed"]
    sm[name] += time * by["sm__throughput.avg.pct_of_peak_sustained_elapsed"]
    warps[name] += time * by["sm__warps_active.avg.pct_of_peak_sustained_active"]
    registers[name] = by["launch__registers_per_thread"]
}
function fields(line, into,    n, rest, end) { # of a CSV line whose fields are all quoted
    n = 0; rest = line
    while (match(rest, /"([^"]|"")*"/)) {
        into[++n] = substr(rest, RSTART + 1, RLENGTH - 2)
        rest = substr(rest, RSTART + RLENGTH)
    }
    return n
}

# ---- the page ----
function why(name,    text) {
    text = name in cause ? cause[name] : last[name]
    if (bad[name] != "") text = "failed: " bad[name] (text == "" ? "" : "; " text)
    return substr(text, 1, 300)
}
function ending(name) {
    if (status[name] == 124 || status[name] == 137) return "over its limit of " limit[name] " s"
    if (status[name] > 128) return "killed by signal " (status[name] - 128)
    return "status " status[name]
}
function failures(    i, name, found) {
    for (i = 1; i <= steps; i++) {
        name = order[i]
        if (status[name] != "skipped" && status[name] != 0) {
            printf "- **%s**: %s%s\n", name, ending(name), why(name) == "" ? "" : ": `" why(name) "`"
            found = 1
        }
    }
    for (name in unrecorded) {
        printf "- **%s**: steps were queued piece by piece, not replayed: `%s`\n", name, substr(unrecorded[name], 1, 300)
        found = 1
    }
    if (!found) print (steps ? "Nothing." : "No step has run.")
    for (i = 1; i <= steps; i++) {
        name = order[i]
        if (status[name] == "skipped") printf "- %s was not done: %s\n", name, reason[name]
        if (left_out[name] != "") printf "- %s left out: %s\n", name, left_out[name]
    }
}
function speeds(    i, key, way, fastest) {
    if (bests == 0) { print "Not measured."; return }
    way = "reduce-overhead" in ways || !("cudagraphs" in ways) ? "reduce-overhead" : "cudagraphs"
    print "| network | batch | nasrun | predicted | nasrun / predicted | PyTorch eager | PyTorch " way " | nasrun / best of PyTorch |"
    print "|---|---|---|---|---|---|---|---|"
    for (i = 1; i <= bests; i++) {
        key = best_order[i]; split(key, part, " ")
        fastest = torch["eager", key] > torch[way, key] + 0 ? torch["eager", key] : torch[way, key]
        printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", part[1], part[2], number(best[key]),
            predicted[key] == "-" ? "-" : number(predicted[key]), ratio(best[key], predicted[key]),
            number(torch["eager", key]), number(torch[way, key]), ratio(best[key], fastest)
    }
}
function slower(    i, k, n, key, found) {
    for (i = 1; i <= bests; i++) {
        key = best_order[i]; split(key, part, " ")
        if (predicted[key] > slow * best[key]) {
            printf "- a step of %s at batch %s: %.0f us, predicted %.0f (%.1f times)\n", part[1], part[2],
                1e6 * part[2] / best[key], 1e6 * part[2] / predicted[key], predicted[key] / best[key]
            found = 1
        }
    }
    for (i = 1; i <= op_net_count; i++) {
        net = op_net[i]
        for (n = 1; n <= ops[net]; n++)
            if (op_paper[net, n] >= least * op_times[net, n] && op_us[net, n] > slow * op_paper[net, n]) {
                printf "- %s, batch %s: %d x %s: %.0f us, predicted %.0f (%.1f times), floor %.0f\n", net, op_batch[net],
                    op_times[net, n], op_name[net, n], op_us[net, n], op_paper[net, n], op_us[net, n] / op_paper[net, n], op_floor[net, n]
                found = 1
            }
    }
    if (bests + op_net_count == 0) print "Not measured."
    else if (!found) print "Nothing that could be compared."
}
function where_operations(net, most,    i, k, n, top) {
    printf "%s, batch %s, operations one by one: %.0f us in all; the recorded step %.0f us.\n\n", net, op_batch[net], op_sum[net],
        (op_rate[net] + 0 ? 1e6 * op_batch[net] / op_rate[net] : 0)
    print "| operation | times | us | share | predicted us | us / predicted | floor us |\n|---|---|---|---|---|---|---|"
    for (k = 1; k <= most && k <= ops[net]; k++) {
        top = 0
        for (n = 1; n <= ops[net]; n++)
            if (!used[net, n] && (top == 0 || op_us[net, n] + 0 > op_us[net, top] + 0)) top = n
        used[net, top] = 1
        printf "| %s | %s | %s | %.0f %% | %s | %s | %s |\n", op_name[net, top], op_times[net, top], op_us[net, top],
            100 * op_us[net, top] / op_sum[net], op_paper[net, top], op_ratio[net, top], op_floor[net, top]
    }
    print ""
}
function where_kernels(most,    k, name, top) {
    printf "Counters of %d kernels in a row:\n\n", kernel_launches
    print "| kernel | times | us | share | DRAM | SM | warps | registers |\n|---|---|---|---|---|---|---|---|"
    for (k = 1; k <= most && k <= kernels; k++) {
        top = ""
        for (name in kernel) if (!taken[name] && (top == "" || kernel[name] > kernel[top])) top = name
        taken[top] = 1
        if (kernel[top] > 0)
            printf "| %s | %d | %.1f | %.0f %% | %.0f %% | %.0f %% | %.0f %% | %s |\n", substr(top, 1, 70), kernel_count[top], 1e-3 * kernel[top],
                100 * kernel[top] / kernel_all, dram[top] / kernel[top], sm[top] / kernel[top], warps[top] / kernel[top], registers[top]
    }
    print ""
}
function jobs(    i, name, found) {
    for (i = 1; i <= steps; i++) {
        name = order[i]
        if (name !~ /^job-/ || status[name] == "skipped") continue
        if (!found++) print "| job | budget s | elapsed s | first step s | images/s, last fit | models | test accuracy |\n|---|---|---|---|---|---|---|"
        printf "| %s%s | %s | %s | %s | %s | %s | %s |\n", substr(name, 5), name == "job-cifar10" ? " (1)" : "", known(job_budget[name]),
            known(job_elapsed[name]), known(job_first[name]), known(job_rate[name]), known(job_models[name]), known(job_accuracy[name])
    }
    if (!found) print "None was run."
    if ("job-cifar10" in status) print "\n(1) CIFAR-10 that came as JPEG mosaics, training and test images: not bit for bit CIFAR-10."
}
END {
    for (i = 1; i <= steps; i++) {
        if (status[order[i]] == "skipped") skipped++
        else if (status[order[i]] == 0) passed++
        else failed++
    }
    card = fact["card"]
    if (card == "" || card ~ /not found|failed|No devices/) {
        card = fact["device"] == "" ? "no GPU" : fact["device"]
        sub(/^cuda:0 /, "", card); sub(/,.*/, "", card)
    }
    printf "## %s, %s, nasrun %s\n\n", card, date, known(about["version"]) " " known(about["commit"])
    printf "%d steps passed, %d failed, %d not done; %d tests of kernels and operations passed, %d failed.\n\n", passed, failed, skipped, goods, bads
    if (fact["driver"] != "" && card != "no GPU") print "- driver, memory, clocks, power, ECC: " fact["driver"]
    if (fact["device"] != "") print "- nasrun: " fact["device"]
    if (fact["libraries"] != "") print "- " fact["libraries"]
    if (fact["pytorch"] != "") print "- PyTorch: " fact["pytorch"]
    if (fact["host"] != "") print "- host: " fact["host"] (fact["journal"] != "" ? "; " fact["journal"] : "")
    if (about["architectures"] != "") print "- built for sm_ " about["architectures"] (about["date"] != "" ? " on " about["date"] : "")
    print "\n### What failed\n"
    failures()
    print "\n### Images a second, 3 x 32 x 32, best of the steps\n"
    speeds()
    print "\n### Slower than " slow " times its prediction\n"
    slower()
    if (op_net_count > 0)
        print "\nOperations that are predicted to take less than " least " us are left out: queued one by one, they show how fast the host queues."
    print "\n### Where the time went\n"
    for (n = 1; n <= op_net_count; n++) where_operations(op_net[n], 12)
    if (kernel_launches > 0) where_kernels(12)
    for (i = 1; i <= bests; i++) {
        key = best_order[i]
        printf "%s at batch %s: prepared in %s ms%s%s.\n", substr(key, 1, index(key, " ") - 1), substr(key, index(key, " ") + 1), made[key],
            (key in again ? ", with plans from the cache in " again[key] " ms" : ""),
            (key in nodes ? "; a recorded step has " nodes[key] " pieces" : "") (key in clock ? ", " clock[key] " us by the GPU\047s clock" : "")
    }
    if (op_net_count + kernel_launches + bests == 0) print "Not measured."
    print "\n### Jobs\n"
    jobs()
    printf "\n### Steps\n\n"
    for (i = 1; i <= steps; i++) printf "%s%s %s s", (i == 1 ? "" : i % 6 == 1 ? ",\n" : ", "), order[i], took[order[i]]
    print (steps ? "." : "None.")
}' "$@"
