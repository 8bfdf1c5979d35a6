#include "tools/common/commands.h"

#include <limits.h>

static const struct command_option plot_options[] = {
    {PLOT_OPTION_OUT, 0, "out", "DIR", WORDS_FOLDERS,
     "write the plots into that folder, and nothing into RUN"},
    {PLOT_OPTION_FORMAT, 0, "format", "KIND", WORDS_NONE,
     "png, which is the default, svg, pdf, or csv: the numbers that are drawn"},
    {PLOT_OPTION_ERRORS, 0, "errors", NULL, WORDS_NONE,
     "instead a sheet of images for each class, errors-NUMBER.png; the data are read"},
    {0},
};
static const struct command_option report_options[] = {
    {1, 0, "stdout", NULL, WORDS_NONE, "print the last report, and write nothing into RUN"},
    {0},
};
static const struct command_option predict_options[] = {
    {PREDICT_LIST, 0, "list", "FILE", WORDS_FILES, "paths from a file, a line each; -: from standard input"},
    {PREDICT_NULL, '0', "null", NULL, WORDS_NONE,
     "the paths of --list end with a zero byte, as find -print0 has them"},
    {PREDICT_DATA, 0, "data", "JOB", WORDS_JOBS, "images of the data that a job file names"},
    {PREDICT_SPLIT, 0, "split", "SPLIT", WORDS_NONE,
     "which of those: test (the default), validation or train"},
    {PREDICT_FORMAT, 0, "format", "FORMAT", WORDS_NONE, "tsv (the default), csv or jsonl"},
    {PREDICT_TOP, 0, "top", "K", WORDS_NONE, "the K most probable classes of each image"},
    {PREDICT_ALL, 0, "all", NULL, WORDS_NONE, "the probabilities of all classes, too"},
    {PREDICT_THRESHOLD, 0, "threshold", "P", WORDS_NONE,
     "no class for an image whose probability is below P"},
    {PREDICT_PRECISION, 0, "precision", "P", WORDS_NONE,
     "the same with a threshold for each class, from which on it was right in that share of validation "
     "images"},
    {PREDICT_THREADS, 0, "threads", "N", WORDS_NONE,
     "how many threads; without it as many as there are cores"},
    {PREDICT_DEVICE, 0, "device", "DEVICE", WORDS_NONE, "cpu (the default), cuda:N, ref, or auto"},
    {PREDICT_ON_ERROR, 0, "on-error", "ANSWER", WORDS_NONE,
     "an image that can't be read: skip it (the default), or stop there"},
    {PREDICT_VIEWS, 0, "views", "COUNT", WORDS_NONE,
     "look at each image in 1, 2, 3 or 6 ways, and not as the run's test did"},
    {0},
};
static const struct command_option export_options[] = {
    {EXPORT_OPTION_ONNX, 0, "onnx", "FILE", WORDS_FILES, "write the model as ONNX"},
    {EXPORT_OPTION_C, 0, "c", "FILE", WORDS_FILES, "write the model as one file of C99"},
    {EXPORT_OPTION_INT8, 0, "int8", NULL, WORDS_NONE, "in whole numbers of 8 bits, and say what that costs"},
    {EXPORT_OPTION_PRECISION, 0, "precision", "P", WORDS_NONE,
     "with a threshold for each class, from which on it was right in that share of validation images"},
    {0},
};
static const struct command_option study_options[] = {
    {STUDY_OPTION_BUDGETS, 0, "budgets", "LIST", WORDS_NONE,
     "rising, as in 900,3600, in what the job's budget counts: seconds, steps or models"},
    {STUDY_OPTION_SEEDS, 0, "seeds", "LIST", WORDS_NONE, "as in 1-3,7; without it 1"},
    {STUDY_OPTION_OUT, 0, "out", "DIR", WORDS_FOLDERS,
     "where the runs' folders are made; without it runs/NAME-study"},
    {0},
};
static const char *const study_uses[] = {"[OPTION ...] JOB.cfg [KEY=VALUE ...]", NULL};
static const struct command_option inspect_options[] = {
    {INSPECT_OPTION_FORMAT, 0, "format", "FORMAT", WORDS_NONE, "text, the default, json or csv"},
    {INSPECT_OPTION_REPLAY, 0, "replay", "ID", WORDS_NONE,
     "derive that model again, and compare its bytes with the hash in the journal"},
    {0},
};
static const char *const inspect_uses[] = {"[OPTION ...] RUN [ID]", NULL};
static const char *const run_uses[] = {"[OPTION ...] RUN", NULL};
static const char *const runs_uses[] = {"[OPTION ...] RUN", "[OPTION ...] RUN RUN ...", NULL};
static const char *const predict_uses[] = {"[OPTION ...] RUN PATH ...", "[OPTION ...] --list=FILE RUN",
                                           "[OPTION ...] --data=JOB RUN", NULL};

static const struct command_example plot_examples[] = {
    {"nasplot runs/photos", "the plots are in runs/photos/plots"},
    {"nasplot --format=pdf --out=thesis runs/photos", "for print"},
    {"nasplot --errors runs/photos", "which images it gets wrong"},
    {"nasplot --out=table runs/a-*", "accuracy against budget, of several runs"},
    {"nasplot --out=plots /archive/photos", "of a run that may not be written to"},
    {0},
};

static const struct command_example report_examples[] = {
    {"nasreport runs/photos", "print the report, made anew from the journal"},
    {"nasreport runs/a-1 runs/a-2 runs/b-1", "a table of several runs"},
    {"nasreport --stdout /archive/photos", "of a run that may not be written to"},
    {0},
};

static const struct command_example predict_examples[] = {
    {"naspredict runs/photos new/*.jpg", "the path, the class and its probability of each image"},
    {"find /archive -name '*.jpg' -print0 | naspredict --null --list=- --format=csv runs/photos",
     "a million of them, as a table"},
    {"naspredict --data=photos.cfg --split=validation --all --format=jsonl runs/photos",
     "what the model says of the data's own images"},
    {"naspredict --precision=0.99 runs/photos new", "only what is sure; the class of the others is empty"},
    {0},
};

static const struct command_example export_examples[] = {
    {"nasexport --onnx=flowers.onnx runs/photos", "for onnxruntime, OpenVINO, TensorRT and others"},
    {"nasexport --int8 --c=flowers.c runs/photos", "for a microcontroller: flowers_classify() in flowers.c"},
    {0},
};

static const struct command_example study_examples[] = {
    {"nasstudy --budgets=900,3600 --seeds=1-3 photos.cfg", "six runs, one after the other"},
    {"nasstudy --budgets=900 --out=runs/random photos.cfg search.strategy=random", "another search"},
    {0},
};

static const struct command_status study_statuses[] = {
    {COMMAND_DONE, "done"},
    {COMMAND_SOME_FAILED, "some runs failed, a line for each; the table is of the others"},
    {COMMAND_ERROR, "an error, told in one line"},
    {COMMAND_UNFINISHED, "stopped and saved: the same command goes on"},
    {0},
};

static const struct command_example inspect_examples[] = {
    {"nasinspect runs/photos", "a line for each model"},
    {"nasinspect runs/photos 7", "all of model 7, with the shapes and norms of its weights"},
    {"nasinspect --format=csv runs/photos", "for a table"},
    {"nasinspect --replay=7 runs/photos", "trains model 7 again, and tells whether it is the same"},
    {0},
};

static const struct command_status usual_statuses[] = {
    {COMMAND_DONE, "done"},
    {COMMAND_ERROR, "an error, told in one line"},
    {0},
};

static const struct command_status predict_statuses[] = {
    {COMMAND_DONE, "done"},
    {COMMAND_SOME_FAILED, "some images could not be read, a line for each; the others were classified"},
    {COMMAND_ERROR, "an error, told in one line, or no image could be read, or --on-error=stop has stopped"},
    {0},
};

const struct command nasplot_command = {
    .name = "nasplot",
    .purpose = "makes a run's plots anew from its journal, also while the run goes on",
    .uses = runs_uses,
    .options = plot_options,
    .least = 1,
    .most = INT_MAX,
    .first = WORDS_FOLDERS,
    .others = WORDS_FOLDERS,
    .description =
        "Writes plots/learning.png, plots/progress.png and, once a stage is tested, plots/confusion.png and\n"
        "plots/shares.png (the same in per cent), of images with several labels plots/labels.png, of the "
        "run\n"
        "folder RUN; plots/family.png (which model came of which) and plots/network.png (the best one); by\n"
        "predictions.csv, when it is there, plots/reliability.png and plots/precision.png; of several "
        "stages\n"
        "plots/budgets.png, their accuracy against their budgets.\n"
        "\n"
        "With --errors it reads the run's data and draws, for each class, test images that were rightly "
        "found,\n"
        "falsely found and missed, with their probabilities and files, and below each the training image "
        "that\n"
        "is most like it (by the values of its pixels; left out where that would take minutes). Where "
        "images have\n"
        "several labels a class is found in those in which it reaches its threshold.\n"
        "\n"
        "Of several runs one plot, plots/budgets.png in the present folder: accuracy on the test images "
        "against\n"
        "budget, for each job its mean and the range over its seeds, and what trainings without a search\n"
        "reached (baseline.start). Two runs are of one job when all but seed and budget is the same.",
    .examples = plot_examples,
    .statuses = usual_statuses,
};

const struct command nasreport_command = {
    .name = "nasreport",
    .purpose = "makes a run's reports anew from its journal and prints the last one",
    .uses = runs_uses,
    .options = report_options,
    .least = 1,
    .most = INT_MAX,
    .first = WORDS_FOLDERS,
    .others = WORDS_FOLDERS,
    .description =
        "Writes report.txt and report.json of the run folder RUN, and when it has several stages\n"
        "report-STAGE.txt and .json of each and a table of them in report.txt, which it prints. ROC AUC and\n"
        "average precision come from predictions.csv, where that is as the run wrote it.\n"
        "\n"
        "Of several runs it writes nothing and prints a table: accuracies on the test images by budget and\n"
        "seed, their means and deviations; then the runs in pairs, image by image, as far as they have the "
        "same\n"
        "test images: the difference with its interval of 95 %, and McNemar's probability.",
    .examples = report_examples,
    .statuses = usual_statuses,
};

const struct command naspredict_command = {
    .name = "naspredict",
    .purpose = "classifies images with a run's model",
    .uses = predict_uses,
    .options = predict_options,
    .least = 1,
    .most = INT_MAX,
    .first = WORDS_FOLDERS,
    .others = WORDS_FILES,
    .description =
        "Classifies images (PNG, JPEG, WebP, GIF, TIFF, BMP) with the model of the run folder RUN, and "
        "prints a\n"
        "line for each, in the order in which they were named: its path, the class, and the class's\n"
        "probability. Of a folder all images below it are taken, by name; a list may name folders, too. A "
        "list\n"
        "is read as it comes: it may be a pipe, and of any length. Ends of lines may be \\n or \\r\\n, and "
        "empty\n"
        "lines are passed over.\n"
        "\n"
        "tsv has these three in columns, without a line of names; \\t, \\n, \\r and \\\\ in a name stand for "
        "a tab,\n"
        "the ends of a line and a backslash. csv has a line of names, and is quoted by RFC 4180; its lines "
        "end in\n"
        "\\n. jsonl has an object in each line. A path that is no UTF-8 stays as it is in tsv and csv; in "
        "jsonl\n"
        "each wrong byte is U+FFFD, and \"path_base64\" has all of them.\n"
        "\n"
        "--top=K adds the next most probable classes with their probabilities (class_2, probability_2 ...; "
        "in\n"
        "jsonl \"top\" has all K), --all every class's probability (p_NAME; \"probabilities\"), in the order "
        "of the\n"
        "network's outputs, --data the true class (\"truth\"). Images of IDX and CIFAR files are called by "
        "their\n"
        "number from 0. Under --threshold and --precision the class of an image may be empty, null in jsonl; "
        "its\n"
        "probability is then that of the most probable class. --precision takes the thresholds from what\n"
        "RUN/predictions.csv says of validation images that were not trained on.\n"
        "\n"
        "A model of images with several labels (dataset.labels) gives those whose probability reaches the "
        "model's\n"
        "threshold for each, the most probable first, or none. The columns are path, labels, probability: "
        "names\n"
        "and their probabilities with | between them; in jsonl \"labels\" and \"probability\" are arrays, "
        "and so is\n"
        "\"truth\". --threshold sets one threshold for all classes, --precision those from which on each "
        "label was\n"
        "right in that share of the images that got it. --top=K, K above 1, adds the K most probable "
        "classes,\n"
        "whether they are given or not (class_1, probability_1 ...).\n"
        "\n"
        "An image that can't be read costs a line on stderr and status 1, and nothing else; so does a "
        "folder\n"
        "without images. Probabilities are calibrated. Several views of an image, as it is, shifted by a "
        "pixel\n"
        "and mirrored, are averaged as the run's test did it (evaluate.views). With --views: 1 the image "
        "alone,\n"
        "which is the fastest, 2 mirrored too, 3 shifted too, 6 both.",
    .examples = predict_examples,
    .statuses = predict_statuses,
};

const struct command nasexport_command = {
    .name = "nasexport",
    .purpose = "writes a run's model for programs that know no nasrun",
    .uses = run_uses,
    .options = export_options,
    .least = 1,
    .most = 1,
    .first = WORDS_FOLDERS,
    .description = "--onnx: opset 13, IR version 7. The input \"images\" takes uint8 pixels [N, channels, "
                   "height, width]\n"
                   "as they are, for normalisation stands inside; the output \"probabilities\" is [N, "
                   "classes], calibrated\n"
                   "by the model's temperature. Names of the classes, how images are made to fit and the "
                   "temperature are in\n"
                   "its metadata; where images have several labels the probabilities are of each class by "
                   "itself, and the\n"
                   "metadata have \"labels\" (\"several\") and \"label_thresholds\".\n"
                   "\n"
                   "--c: one file of C99 that needs expf of libm and nothing else, and allocates nothing. "
                   "FILE's name without\n"
                   "folder and ending is NAME in\n"
                   "    int NAME_classify(const unsigned char *image, float *probabilities);\n"
                   "which takes height x width x channels bytes, the channels of a pixel side by side, and "
                   "returns the class,\n"
                   "or of several labels how many reach their thresholds, which are in NAME_thresholds.\n"
                   "Batch norms are folded into the convolutions; values lie in static memory, so that two "
                   "calls must not\n"
                   "run at once.\n"
                   "\n"
                   "--int8: values and weights are whole numbers of 8 bits, by a scale for each layer and "
                   "each channel of a\n"
                   "kernel; ranges are measured on 512 training images of the run, whose data must be there. "
                   "As ONNX by\n"
                   "QuantizeLinear and DequantizeLinear (QDQ); as C without floating-point numbers before "
                   "the last layer.\n"
                   "\n"
                   "--precision: from what probability on a class was right in that share of the validation "
                   "images that\n"
                   "were not trained on, by the export's own answers. ONNX has them in its metadata, "
                   "\"thresholds\" and\n"
                   "\"precision\", C in NAME_thresholds, of several labels in the place of the model's.\n"
                   "\n"
                   "Before a file is kept it is run: ONNX is read back, C compiled by cc. The answers to "
                   "test images of the\n"
                   "run are compared with the model's in double precision, in int8 with those of the same "
                   "whole numbers, and\n"
                   "the accuracy on all of them is measured, with one view of each image (of several labels "
                   "the share of\n"
                   "images all of whose labels are right at the model's thresholds). Where the data no "
                   "longer lie where\n"
                   "the run had them, images of chance are taken instead, and the accuracy is not measured. "
                   "Where there is\n"
                   "no cc, the network from which the C file was written is evaluated in its stead, which "
                   "the line says. An\n"
                   "export that differs is an error, and nothing is written.",
    .examples = export_examples,
    .statuses = usual_statuses,
};

const struct command nasstudy_command = {
    .name = "nasstudy",
    .purpose = "trains one job with several budgets and seeds, each on its own, and compares the results",
    .uses = study_uses,
    .options = study_options,
    .least = 1,
    .most = INT_MAX,
    .first = WORDS_JOBS,
    .others = WORDS_KEYS,
    .description =
        "Runs nasrun once for each budget and seed, one after the other, in folders BUDGET-SEED of their "
        "own\n"
        "(the stages of one run would share work). Then it prints the table of accuracies on the test "
        "images\n"
        "and writes it into report.txt beside the folders, with the plot budgets.png and its numbers in\n"
        "budgets.csv; nasreport and nasplot make both of any runs.\n"
        "\n"
        "Ctrl-C and the other signals that nasrun stops by are passed on; the same command goes on, and "
        "takes\n"
        "runs that are finished as they are.",
    .examples = study_examples,
    .statuses = study_statuses,
};

const struct command nasinspect_command = {
    .name = "nasinspect",
    .purpose = "shows the models of a run, and derives one again",
    .uses = inspect_uses,
    .options = inspect_options,
    .least = 1,
    .most = 2,
    .first = WORDS_FOLDERS,
    .description =
        "Prints the candidates and final fits of the run folder RUN as its journal tells of them: parent,\n"
        "what made it of that (morphs), hyperparameters where they are not the job's, validation accuracy,\n"
        "parameters, steps, and the hash of its file; with ID that model alone, with each tensor of its\n"
        "weights, if its file is still there, and of images with several labels the classes' thresholds.\n"
        "\n"
        "--replay derives a model again in a folder that is thrown away: nasrun goes on from before it was\n"
        "begun, with the journal's seed, parents and morphs, and the new file's hash is compared with the\n"
        "journal's. Parents whose files are gone are trained again first. The data have to lie where the\n"
        "job says, from where this is started. It is not possible where a clock decided how long the\n"
        "training took (budget.seconds without budget.clock = \"model\"), and tells nothing on another kind\n"
        "of device, or with another version: their roundings differ.",
    .examples = inspect_examples,
    .statuses = usual_statuses,
};
