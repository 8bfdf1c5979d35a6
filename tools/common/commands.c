#include "tools/common/commands.h"

#include <limits.h>

static const struct command_option plot_options[] = {
    {PLOT_OPTION_OUT, 0, "out", "DIR", WORDS_FOLDERS,
     "write the plots into that folder, and nothing into RUN"},
    {PLOT_OPTION_FORMAT, 0, "format", "KIND", WORDS_NONE, "png, which is the default, svg or pdf"},
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
    {1, 0, "onnx", "FILE", WORDS_FILES, "write the model as ONNX"},
    {2, 0, "c", "FILE", WORDS_FILES, "write the model as one file of C99"},
    {3, 0, "int8", NULL, WORDS_NONE, "in whole numbers of 8 bits, and say what that costs"},
    {0},
};
static const char *const run_uses[] = {"[OPTION ...] RUN", NULL};
static const char *const predict_uses[] = {"[OPTION ...] RUN PATH ...", "[OPTION ...] --list=FILE RUN",
                                           "[OPTION ...] --data=JOB RUN", NULL};

static const struct command_example plot_examples[] = {
    {"nasplot runs/photos", "the plots are in runs/photos/plots"},
    {"nasplot --format=pdf --out=thesis runs/photos", "for print"},
    {"nasplot --out=plots /archive/photos", "of a run that may not be written to"},
    {0},
};

static const struct command_example report_examples[] = {
    {"nasreport runs/photos", "print the report, made anew from the journal"},
    {"nasreport --stdout /archive/photos", "of a run that may not be written to"},
    {0},
};

static const struct command_example predict_examples[] = {
    {"naspredict runs/photos new/*.jpg", "the path, the class and its probability of each image"},
    {0},
};

static const struct command_example export_examples[] = {
    {"nasexport --onnx=flowers.onnx runs/photos", "for onnxruntime, OpenVINO, TensorRT and others"},
    {"nasexport --int8 --c=flowers.c runs/photos", "for a microcontroller: flowers_classify() in flowers.c"},
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
    {COMMAND_ERROR, "an error, told in one line, or no image could be read"},
    {0},
};

const struct command nasplot_command = {
    .name = "nasplot",
    .purpose = "makes a run's plots anew from its journal, also while the run goes on",
    .uses = run_uses,
    .options = plot_options,
    .least = 1,
    .most = 1,
    .first = WORDS_FOLDERS,
    .description =
        "Writes plots/learning.png, plots/progress.png and, once a stage is tested, plots/confusion.png and\n"
        "plots/shares.png (the same in per cent) of the run folder RUN.",
    .examples = plot_examples,
    .statuses = usual_statuses,
};

const struct command nasreport_command = {
    .name = "nasreport",
    .purpose = "makes a run's reports anew from its journal and prints the last one",
    .uses = run_uses,
    .options = report_options,
    .least = 1,
    .most = 1,
    .first = WORDS_FOLDERS,
    .description =
        "Writes report.txt and report.json of the run folder RUN (report-STAGE.txt and .json too when it\n"
        "has several stages) and prints report.txt. ROC AUC and average precision come from "
        "predictions.csv,\n"
        "where that is as the run wrote it.",
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
        "Reads PNG and JPEG images and prints a line for each: its path, the class that the model of the "
        "run\n"
        "folder RUN finds, and the class's probability, separated by tabs. Several views of an image, as it "
        "is,\n"
        "shifted by a pixel and mirrored, are averaged as the run's test did it (evaluate.views). With "
        "--views: 1\n"
        "the image alone, 2 mirrored too, 3 shifted too, 6 both.",
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
                   "its metadata.\n"
                   "\n"
                   "--c: one file of C99 that needs expf of libm and nothing else, and allocates nothing. "
                   "FILE's name without\n"
                   "folder and ending is NAME in\n"
                   "    int NAME_classify(const unsigned char *image, float *probabilities);\n"
                   "which takes height x width x channels bytes, the channels of a pixel side by side, and "
                   "returns the class.\n"
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
                   "Before a file is kept it is run: ONNX is read back, C compiled by cc. The answers to "
                   "test images of the\n"
                   "run are compared with the model's in double precision, in int8 with those of the same "
                   "whole numbers, and\n"
                   "the accuracy on all of them is measured, with one view of each image. Where the data no "
                   "longer lie where\n"
                   "the run had them, images of chance are taken instead, and the accuracy is not measured. "
                   "Where there is\n"
                   "no cc, the network from which the C file was written is evaluated in its stead, which "
                   "the line says. An\n"
                   "export that differs is an error, and nothing is written.",
    .examples = export_examples,
    .statuses = usual_statuses,
};
