#include "tools/common/commands.h"

#include <limits.h>

static const struct command_option no_options[] = {{0}};
static const struct command_option predict_options[] = {
    {1, 0, "views", "COUNT", WORDS_NONE,
     "look at each image in 1, 2, 3 or 6 ways, and not as the run's test did"},
    {0},
};
static const char *const run_uses[] = {"[OPTION ...] RUN", NULL};
static const char *const predict_uses[] = {"[OPTION ...] RUN IMAGE ...", NULL};

static const struct command_example plot_examples[] = {
    {"nasplot runs/photos", "the plots are in runs/photos/plots"},
    {0},
};

static const struct command_example report_examples[] = {
    {"nasreport runs/photos", "print the report, made anew from the journal"},
    {0},
};

static const struct command_example predict_examples[] = {
    {"naspredict runs/photos new/*.jpg", "the path, the class and its probability of each image"},
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
    .options = no_options,
    .least = 1,
    .most = 1,
    .first = WORDS_FOLDERS,
    .description =
        "Writes plots/learning.png, plots/progress.png and, once a stage is tested, plots/confusion.png\n"
        "of the run folder RUN.",
    .examples = plot_examples,
    .statuses = usual_statuses,
};

const struct command nasreport_command = {
    .name = "nasreport",
    .purpose = "makes a run's reports anew from its journal and prints the last one",
    .uses = run_uses,
    .options = no_options,
    .least = 1,
    .most = 1,
    .first = WORDS_FOLDERS,
    .description =
        "Writes report.txt and report.json of the run folder RUN (report-STAGE.txt and .json too when it\n"
        "has several stages) and prints report.txt.",
    .examples = report_examples,
    .statuses = usual_statuses,
};

const struct command naspredict_command = {
    .name = "naspredict",
    .purpose = "classifies images with a run's model, on the CPU",
    .uses = predict_uses,
    .options = predict_options,
    .least = 2,
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
