/* Job files that are wrong: every kind of error with its exact message, and damaged files. Runs in the top
 * folder, where samples/ is. */
#include "host/base/file.h"
#include "host/base/random.h"
#include "tests/support/spec_scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after what it needs */
#include <cmocka.h>

enum { TEXT_MAX = 4096 };

static const char *const samples[] = {
    "samples/fashion-mnist.cfg", "samples/cifar10.cfg",        "samples/folder.cfg",  "samples/csv.cfg",
    "samples/steps.cfg",         "samples/several-labels.cfg", "samples/tutorial.cfg"};
enum { SAMPLE_COUNT = sizeof(samples) / sizeof(samples[0]) };

#define GOOD "dataset = { path = \".\"; };\n"

static const struct message_case {
    const char *text;
    const char *overrides[SPEC_SCRATCH_OVERRIDES];
    enum status status;
    const char *message; /* "@" stands for the folder of the job file */
} messages[] = {
    /* syntax */
    {GOOD "seed = ;\n", {0}, ST_FORMAT, "@/job.cfg:2: syntax error: found 'seed = ;'"},
    {GOOD "  train.batch = 3\n", {0}, ST_FORMAT, "@/job.cfg:2: syntax error: found 'train.batch = 3'"},
    {GOOD "seed = 1;\nseed = 2;", {0}, ST_FORMAT, "@/job.cfg:3: duplicate setting name: found 'seed = 2;'"},
    {GOOD "search = { starts = [\"lean\") };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: syntax error: found 'search = { starts = [\"lean\") };'"},
    {GOOD "@include \"other.cfg\"",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: found @, expected all settings in one file (no @include)"},
    {GOOD "output = {\n dir = \"x;\n}",
     {0},
     ST_FORMAT,
     "@/job.cfg:3: found a text without an end, expected \""},
    {GOOD "seed \"1\";",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: syntax error: found a text in quotes, expected it behind = or in a list"},
    {GOOD "\n/* open", {0}, ST_FORMAT, "@/job.cfg:3: found a comment /* without an end, expected */"},
    /* unknown keys */
    {GOOD "trian = {\n  batch = 3; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:3: unknown key 'trian.batch', did you mean 'train.batch'?"},
    {GOOD "train = { bacth = 3; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: unknown key 'train.bacth', did you mean 'train.batch'?"},
    {GOOD "search = { batch = 3; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: unknown key 'search.batch', did you mean 'train.batch'?"},
    {GOOD "seconds = 3;",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: unknown key 'seconds', did you mean 'budget.seconds'?"},
    {GOOD "quite_other = 3;",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: unknown key 'quite_other', expected a key of the reference (nasrun --print-spec)"},
    {GOOD "nothing = {};",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: unknown key 'nothing', expected a key of the reference (nasrun --print-spec)"},
    {GOOD,
     {"buget.seconds=3"},
     ST_FORMAT,
     "command line: buget.seconds=3: unknown key 'buget.seconds', did you mean 'budget.seconds'?"},
    {GOOD, {"verbose"}, ST_FORMAT, "command line: verbose: found no =, expected key=value"},
    /* types */
    {GOOD "train = 3;",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: train: found 3, expected a section { key = value; ... }"},
    {GOOD "seed = { a = 1; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: seed: found a section, expected a whole number from 0 to 9007199254740992"},
    {GOOD "devices = { use = \"cpu\"; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: devices: found a section, expected one or more of \"auto\", \"cuda\", \"cuda:N\", "
     "\"cpu\", "
     "\"cpu:N\", \"ref\", \"ref:N\""},
    {GOOD "devices =\n{\n    use = \"cpu\";\n    threads = 1;\n};",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: devices: found a section, expected one or more of \"auto\", \"cuda\", \"cuda:N\", "
     "\"cpu\", "
     "\"cpu:N\", \"ref\", \"ref:N\""},
    {GOOD "train = { warmup = 0.4; hold = 0.7; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: train.hold: found 0.7, expected at most 0.6 beside a warm-up of 0.4"},
    {GOOD "evaluate = { views = 3; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: evaluate.views: found 3, expected \"auto\", 1, 2 or 6"},
    {GOOD "search = { space = \"cells\"; strategy = \"phases\"; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: search.strategy: found \"phases\", expected a strategy that makes children of parents, as "
     "\"greedy\", for search.space is \"cells\""},
    {GOOD "search = { space = \"cells\"; starts = [\"random_cell\", \"air\"]; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: search.starts: found \"air\", expected \"cell\" or \"random_cell\", as search.space is "
     "\"cells\""},
    {GOOD "search = { space = \"cells\"; repeats = 4; };\nfinal = { repeats = 3; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: final.repeats: found 3, expected 0 or at least the 4 of search.repeats"},
    {GOOD "search = { space = \"cells\"; width = 16; };\nfinal = { width = 8; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: final.width: found 8, expected 0 or a multiple of 8, 16 or more"},
    {GOOD "train = { batch = 12.5; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: train.batch: found 12.5, expected \"auto\" or a whole number from 1 to 8192"},
    {GOOD "train = { batch = 128.0; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: train.batch: found 128.0, expected \"auto\" or a whole number from 1 to 8192"},
    {GOOD "train = { batch = 0x80; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: train.batch: found 0x80 (hexadecimal), expected \"auto\" or a whole number from 1 to "
     "8192"},
    {GOOD "train = { batch = \"many\"; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: train.batch: found \"many\", expected \"auto\" or a whole number from 1 to 8192"},
    {GOOD "train = { momentum = true; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: train.momentum: found true, expected a number from 0 to 0.9999"},
    {GOOD "train = { momentum = []; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: train.momentum: found a list of 0, expected a number from 0 to 0.9999"},
    {GOOD "train = { flip = 1; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: train.flip: found 1, expected true or false"},
    {GOOD "output = { dir = 3; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: output.dir: found 3, expected a text in quotes"},
    {GOOD "search = { starts = [1]; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: search.starts: found 1, expected one or more of \"lean\", \"res9\", \"air\", "
     "\"air_deep\", \"cnn\", "
     "\"resnet\", \"densenet\", \"cell\", \"random_cell\", \"pretrained\", \"FILE.safetensors\", "
     "\"FILE.onnx\""},
    {GOOD "search = { starts = [\"lean\", \"gone.onnx\"]; };",
     {0},
     ST_IO,
     "@/job.cfg:2: search.starts: found \"gone.onnx\", which does not exist, expected the file of a network"},
    {GOOD "search = { starts = [\".onnx\"]; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: search.starts: found \".onnx\", expected one or more of \"lean\", \"res9\", \"air\", "
     "\"air_deep\", \"cnn\", \"resnet\", \"densenet\", \"cell\", \"random_cell\", \"pretrained\", "
     "\"FILE.safetensors\", "
     "\"FILE.onnx\""},
    {GOOD "budget = { seconds = [60, \"x\"]; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: budget.seconds: found \"x\", expected a number from 1 to 30000000 or a rising list of "
     "such"},
    {GOOD "budget = { steps = 1.5; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: budget.steps: found 1.5, expected a whole number from 1 to 1000000000 or a rising list of "
     "such"},
    {GOOD,
     {"budget.seconds=abc"},
     ST_FORMAT,
     "command line: budget.seconds=abc: found \"abc\", expected a number from 1 to 30000000 or a rising list "
     "of such"},
    {GOOD,
     {"train.batch=3; seed = 4"},
     ST_FORMAT,
     "command line: train.batch=3; seed = 4: found \"3; seed = 4\", expected \"auto\" or a whole number from "
     "1 to 8192"},
    /* ranges */
    {GOOD "train = { batch = 0; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: train.batch: found 0, expected \"auto\" or a whole number from 1 to 8192"},
    {GOOD "train = { batch = 4294967424; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: train.batch: found 4294967424, expected \"auto\" or a whole number from 1 to 8192"},
    {GOOD "seed = 99999999999999999999;",
     {0},
     ST_RANGE,
     "@/job.cfg:2: seed: found 9223372036854775807, expected a whole number from 0 to 9007199254740992"},
    {GOOD "search = { beta = 1e999; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: search.beta: found inf, expected a number from 0 to 100"},
    {GOOD "search = { beta = -0.5; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: search.beta: found -0.5, expected a number from 0 to 100"},
    {GOOD "train = { optimizer = \"SGD\"; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: train.optimizer: found \"SGD\", expected one of \"sgd\", \"adamw\", \"muon\""},
    {GOOD "train = { optimizer = \"sgd|adamw\"; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: train.optimizer: found \"sgd|adamw\", expected one of \"sgd\", \"adamw\", \"muon\""},
    {GOOD "train = { optimizer = \"\n\\x01\"; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: train.optimizer: found \"??\", expected one of \"sgd\", \"adamw\", \"muon\""},
    {GOOD "search = { starts = []; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: search.starts: found a list of 0, expected one or more of \"lean\", \"res9\", \"air\", "
     "\"air_deep\", "
     "\"cnn\", \"resnet\", "
     "\"densenet\", \"cell\", \"random_cell\", \"pretrained\", \"FILE.safetensors\", \"FILE.onnx\""},
    {GOOD "search = { starts = [\"cnn\", \"cnn\"]; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: search.starts: found \"cnn\" twice, expected each at most once"},
    {"dataset = { path = \".\";\n resize = [32, 32, 32]; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: dataset.resize: found a list of 3, expected [] or [height, width], whole numbers from 4 "
     "to 1024"},
    {GOOD "budget = { steps = "
          "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33]; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: budget.steps: found a list of 33, expected at most 32"},
    {GOOD,
     {"train.momentum=1"},
     ST_RANGE,
     "command line: train.momentum=1: found 1, expected a number from 0 to 0.9999"},
    /* keys that depend on each other */
    {"seed = 1;",
     {0},
     ST_FORMAT,
     "@/job.cfg: dataset.path: found nothing, expected an existing file or folder, in quotes"},
    {"dataset = {\n path = \"no/such\"; };",
     {0},
     ST_IO,
     "@/job.cfg:2: dataset.path: found \"no/such\", which does not exist, expected an existing file or "
     "folder, in quotes"},
    {GOOD,
     {"dataset.images=no/such"},
     ST_IO,
     "command line: dataset.images=no/such: found \"no/such\", which does not exist, expected an existing "
     "file or "
     "folder, in quotes"},
    {GOOD,
     {"dataset.path=~/photos"},
     ST_IO,
     "command line: dataset.path=~/photos: found \"~/photos\", expected \"/home/somebody/photos\", for ~ is "
     "known "
     "to shells alone"},
    {GOOD "output = {\n dir = \"~\"; };",
     {0},
     ST_IO,
     "@/job.cfg:3: output.dir: found \"~\", expected \"/home/somebody\", for ~ is known to shells alone"},
    {GOOD,
     {"dataset.cache=~/cache"},
     ST_IO,
     "command line: dataset.cache=~/cache: found \"~/cache\", expected \"/home/somebody/cache\", for ~ is "
     "known to "
     "shells alone"},
    {GOOD "budget = { seconds = [60, 60]; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: budget.seconds: found 60 after 60, expected rising numbers"},
    {GOOD "budget = { seconds = 60;\n steps = 100; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: budget.steps: found budget.seconds beside it, expected at most one of seconds, steps, "
     "models"},
    {GOOD,
     {"budget.seconds=60", "budget.models=3"},
     ST_RANGE,
     "command line: budget.models=3: found budget.seconds beside it, expected at most one of seconds, steps, "
     "models"},
    {GOOD "budget = { seconds = []; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: budget.seconds: found no budget of any kind, expected one of seconds, steps, models"},
    {GOOD "devices = [\"cpu\", \"auto\"];",
     {0},
     ST_RANGE,
     "@/job.cfg:2: devices: found \"cpu\" among others, expected it alone, or numbered devices"},
    {GOOD "devices = [\"cpu:0\", \"ref:0\"];",
     {0},
     ST_RANGE,
     "@/job.cfg:2: devices: found \"ref:0\" beside \"cpu:0\", expected one kind of device"},
    {GOOD "search = { strategy = \"none\";\n starts = [\"lean\", \"cnn\"]; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: search.starts: found 2 starting networks, expected one, as search.strategy is \"none\""},
    {"dataset = { path = \".\"; labels = \"several\";\n format = \"folder\"; };",
     {0},
     ST_RANGE,
     "@/job.cfg:1: dataset.labels: found \"several\" and dataset.format = \"folder\", expected a CSV file "
     "beside it"},
    {GOOD "search = { width = 4; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: search.width: found 4, expected 0 or a multiple of 8"},
    {GOOD "search = { workers_per_device = 2; };\ndevices = \"cpu\";",
     {0},
     ST_RANGE,
     "@/job.cfg:2: search.workers_per_device: found 2 on \"cpu\", expected 1 or \"auto\": only a GPU has "
     "several"},
    /* ranges */
    {GOOD "train = {\n learning_rate = { min = 1.0; max = 0.01; }; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: train.learning_rate: found a range from 1 to 0.01, expected min below max"},
    {GOOD,
     {"train.momentum={ min = 0.5; max = 0.5; }"},
     ST_RANGE,
     "command line: train.momentum={ min = 0.5; max = 0.5; }: found a range from 0.5 to 0.5, expected min "
     "below max"},
    {GOOD "train = { momentum = { min = 0.5;\n max = 1; }; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: train.momentum: found 1, expected a number from 0 to 0.9999"},
    {GOOD "train = { weight_decay = { min = 0; max = 0.1; }; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: train.weight_decay: found a logarithmic range from 0, expected min above 0, or scale = "
     "\"linear\""},
    {GOOD "train = { average = { min = 0.1; }; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: train.average: found a range without max, expected { min = ...; max = ...; scale = "
     "\"log\"; }"},
    {GOOD "train = { average = { min = 0.1; max = 0.2; scale = \"cubic\"; }; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: train.average: found the scale \"cubic\", expected \"log\" or \"linear\""},
    {GOOD "train = { average = { min = 0.1; max = 0.2; step = 2; }; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: train.average: found step in a range, expected min, max and scale"},
    {GOOD "train = { average = { min = \"low\"; max = 0.2; }; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: train.average: found \"low\", expected a number from 0 to 0.99999"},
    {GOOD "train = { average = [0.1, 0.2, 0.1]; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: train.average: found 0.1 twice, expected each at most once"},
    {GOOD "train = { batch = [64, \"auto\"]; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: train.batch: found \"auto\", expected \"auto\" or a whole number from 1 to 8192"},
    {GOOD "train = { warmup = { min = 0.1; max = 0.2; }; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: train.warmup: found a range, expected a number from 0 to 0.9 (the search chooses batch, "
     "learning_rate, momentum, weight_decay, label_smoothing, average only)"},
    {GOOD "train = { cutout = [0, 4, 8]; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: train.cutout: found a range, expected \"auto\" or a whole number from 0 to 512 (the "
     "search chooses "
     "batch, "
     "learning_rate, momentum, weight_decay, label_smoothing, average only)"},
    {GOOD "search = { strategy = \"none\"; starts = \"lean\"; };\nbaseline = { start = \"first\"; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: baseline.start: found \"first\", expected \"none\", as search.strategy is \"none\""},
    {GOOD,
     {"final.repeats=6"},
     ST_RANGE,
     "command line: final.repeats=6: found 6, expected no such key, as search.space is \"networks\""},
    {GOOD "search = {\n repeats = 2; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: search.repeats: found 2, expected no such key, as search.space is \"networks\""},
    {GOOD "search = { strategy = \"greedy\";\n neighbours = 9; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: search.neighbours: found 9, expected no such key, as search.strategy is \"greedy\""},
    {GOOD "search = { strategy = \"hill_climb\";\n tournament = 3; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: search.tournament: found 3, expected no such key, as search.strategy is \"hill_climb\""},
    {GOOD "search = { strategy = \"asha\";\n depths = [0, 4]; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: search.depths: found [0, 4], expected no such key, as search.strategy is \"asha\""},
    {GOOD,
     {"search.widths=[8,16]"},
     ST_RANGE,
     "command line: search.widths=[8,16]: found [8, 16], expected no such key, as search.strategy is "
     "\"phases\""},
    {GOOD "search = { strategy = \"evolution\"; population = 3;\n tournament = 4; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: search.tournament: found 4, expected at most search.population, which is 3"},
    {GOOD "search = { strategy = \"asha\";\n widths = [8, 12]; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: search.widths: found 12, expected multiples of 8"},
    {GOOD "search = { strategy = \"asha\";\n widths = []; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: search.widths: found an empty list, expected one width or more"},
    {GOOD "search = { strategy = \"grid\";\n depths = []; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: search.depths: found an empty list, expected one depth or more"},
    {GOOD "search = { strategy = \"grid\";\n width = 16; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: search.width: found 16, expected 0, as search.strategy is \"grid\": search.widths has "
     "its widths"},
    {GOOD "search = { strategy = \"grid\"; };\ntrain = { average = [0.5, 0.6]; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: train.average: found a list, expected one value, as search.strategy is \"grid\""},
    {GOOD "baseline = { start = [\"lean\", \"resnet\"]; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: baseline.start: found 2 networks, expected one"},
    {GOOD "baseline = { start = \"hand.onnx\"; };",
     {0},
     ST_IO,
     "@/job.cfg:2: baseline.start: found \"hand.onnx\", which does not exist, expected the file of a "
     "network"},
    {GOOD "baseline = { start = \"tests/journal/format-1/models/0.safetensors\"; width = 16; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: baseline.width: found 16, expected 0, as "
     "\"tests/journal/format-1/models/0.safetensors\" has its own"},
    {GOOD "baseline = { start = \"lean\"; width = 12; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: baseline.width: found 12, expected 0 or a multiple of 8"},
    {GOOD "search = { baseline = 1; };",
     {0},
     ST_FORMAT,
     "@/job.cfg:2: search.baseline: found 1, expected true or false"},
    {GOOD,
     {"search.baseline=true"},
     ST_FORMAT,
     "command line: search.baseline=true: unknown key 'search.baseline', did you mean 'baseline.start'?"},
    {GOOD "report = { cost_per_hour = -0.5; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: report.cost_per_hour: found -0.5, expected a number from 0 to 1000000"},
    {GOOD "report = { cost_per_hour = 2; currency = \"\"; };",
     {0},
     ST_RANGE,
     "@/job.cfg:2: report.currency: found nothing, expected a name, as \"EUR\", beside "
     "report.cost_per_hour"},
    {GOOD "search = { strategy = \"none\"; starts = \"lean\"; };\ntrain = { average = [0.5, 0.6]; };",
     {0},
     ST_RANGE,
     "@/job.cfg:3: train.average: found a list, expected one value, as search.strategy is \"none\""},
    {GOOD "search = { strategy = \"none\"; starts = \"lean\"; };",
     {"train.learning_rate={min=0.1;max=1}"},
     ST_RANGE,
     "command line: train.learning_rate={min=0.1;max=1}: found a range, expected one value, as "
     "search.strategy is "
     "\"none\""},
    {GOOD "devices = \"cuda:\";",
     {0},
     ST_RANGE,
     "@/job.cfg:2: devices: found \"cuda:\", expected one or more of \"auto\", \"cuda\", "
     "\"cuda:N\", \"cpu\", \"cpu:N\", \"ref\", \"ref:N\""},
};

static void test_messages(void **state)
{
    const struct spec_scratch *scratch = *state;
    assert_int_equal(setenv("HOME", "/home/somebody", 1), 0);
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        const struct message_case *c = &messages[i];
        char expected[ERROR_LENGTH];
        struct job job;
        struct error err;
        bool located = c->message[0] == '@';
        snprintf(expected, sizeof(expected), "%s%s", located ? scratch->folder : "", c->message + located);
        enum status st = spec_scratch_read(scratch, c->text, c->overrides, &job, &err);
        if (strcmp(err.message, expected) != 0)
            fail_msg("case %zu: %s\nfound    %s\nexpected %s", i, c->text, err.message, expected);
        assert_int_equal(st, c->status);
        assert_int_equal(err.status, c->status);
        assert_null(job.file); /* nothing is left to free */
    }
}

static void test_unreadable(void **state)
{
    const struct spec_scratch *scratch = *state;
    char expected[ERROR_LENGTH];
    struct job job;
    struct error err;
    assert_int_equal(spec_read("no/such.cfg", NULL, 0, &job, &err), ST_IO);
    assert_int_equal(strncmp(err.message, "no/such.cfg: ", 13), 0);
    assert_int_equal(spec_read("/tmp", NULL, 0, &job, &err), ST_IO);
    assert_string_equal(err.message, "/tmp: is a folder, expected a regular file");
    spec_scratch_write(scratch->file, "seed = 1;\n\0", 11);
    assert_int_equal(spec_read(scratch->file, NULL, 0, &job, &err), ST_FORMAT);
    snprintf(expected, sizeof(expected), "%s:2: found a NUL byte, expected a text file", scratch->file);
    assert_string_equal(err.message, expected);
}

/* Changes one to four places: a byte, a cut, a doubled stretch, or a token that the format knows. */
static size_t mutate(char *text, size_t length, struct random_sequence *random)
{
    static const char *const tokens[] = {"{",   "}",  "[",   "]",    "(",
                                         ")",   "\"", "=",   ";",    "/*",
                                         "*/",  "//", "#",   "0x1",  "1e999",
                                         "-",   ".",  "\\x", "@",    "@include \"/\"",
                                         "\n",  "'",  "L",   "true", "99999999999999999999",
                                         "\xff"};
    uint32_t changes = 1 + random_next_below(random, 4);
    while (changes-- > 0 && length > 0) {
        size_t at = random_next_below(random, (uint32_t)length);
        size_t span = random_next_below(random, 40);
        const char *token = tokens[random_next_below(random, sizeof(tokens) / sizeof(tokens[0]))];
        if (span > length - at)
            span = length - at;
        switch (random_next_below(random, 4)) {
        case 0:
            text[at] = (char)random_next_below(random, 256);
            break;
        case 1:
            memmove(text + at, text + at + span, length - at - span);
            length -= span;
            break;
        case 2:
            memmove(text + at + span, text + at, length - at);
            length += span;
            break;
        default:
            memmove(text + at + strlen(token), text + at, length - at);
            memcpy(text + at, token, strlen(token));
            length += strlen(token);
            break;
        }
    }
    return length;
}

/* A damaged file gives a job that can be written and read back, or one line. */
static void read_damaged(const struct spec_scratch *scratch, int *good, int *bad)
{
    char *overrides[] = {"dataset.path=.", "dataset.images="};
    struct job job, again;
    struct error err = {0};
    if (spec_read(scratch->file, overrides, 2, &job, &err) == ST_OK) {
        char *text = spec_scratch_write_job(&job);
        spec_scratch_read_good(scratch, text, NULL, &again);
        spec_scratch_check_same(&job, &again);
        spec_free(&again);
        spec_free(&job);
        free(text);
        (*good)++;
        return;
    }
    assert_true(strlen(err.message) > 0);
    assert_null(strpbrk(err.message, "\r\n"));
    assert_null(strstr(err.message, "command line"));
    (*bad)++;
}

static void test_mutations(void **state)
{
    enum { MUTATIONS = 2000 };
    const struct spec_scratch *scratch = *state;
    int good = 0, bad = 0;
    for (int i = 0; i < MUTATIONS; i++) {
        struct random_sequence random = {.seed = 1, .stream = RANDOM_TEST, .part = (uint32_t)i};
        char text[2 * TEXT_MAX], *sample = NULL;
        size_t length = 0;
        struct error err;
        assert_int_equal(file_read(samples[i % SAMPLE_COUNT], &sample, &length, &err), ST_OK);
        assert_true(length < TEXT_MAX);
        memcpy(text, sample, length);
        free(sample);
        spec_scratch_write(scratch->file, text, mutate(text, length, &random));
        read_damaged(scratch, &good, &bad);
    }
    /* Both outcomes have been seen often, or the mutations test nothing. */
    assert_true(good > MUTATIONS / 10);
    assert_true(bad > MUTATIONS / 10);
}

static void test_deep_nesting(void **state)
{
    enum { DEPTH = 200000 };
    static const char openings[] = "({[\"";
    const struct spec_scratch *scratch = *state;
    char *text = malloc(2 * DEPTH + 4);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof(openings) - 1; i++) {
        int good = 0, bad = 0;
        memset(text, openings[i], DEPTH);
        memcpy(text, "a = ", 4);
        spec_scratch_write(scratch->file, text, DEPTH);
        read_damaged(scratch, &good, &bad);
        assert_int_equal(bad, 1);
    }
    for (size_t i = 0; i < DEPTH; i++)
        memcpy(text + 2 * i, "1,", 2);
    memcpy(text, "a=[", 3);
    spec_scratch_write(scratch->file, text, 2 * DEPTH);
    struct job job;
    struct error err;
    assert_int_equal(spec_read(scratch->file, NULL, 0, &job, &err), ST_FORMAT);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_deep_nesting),
    };
    return cmocka_run_group_tests(tests, spec_scratch_open, spec_scratch_close);
}
