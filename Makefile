# nasrun: `make help` lists what can be made.
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= build/release
BIN ?= bin
SANITIZE ?=
OPTIMIZE ?= -O3
JOBS ?= $(shell nproc)
PACKAGES := libconfig libpng libjpeg libwebp libtiff-4 zlib libxxhash libutf8proc libcjson libprotobuf-c cairo fontconfig
WARNINGS := -Wall -Wextra -Wpedantic -Werror
CFLAGS_ALL := -std=c17 $(WARNINGS) $(OPTIMIZE) -g -D_GNU_SOURCE -I. -fopenmp -ffp-contract=off -fno-math-errno -MMD -MP $(SANITIZE) $(CFLAGS)
LIBS = $(shell pkg-config --libs $(PACKAGES)) -lgif -ldnnl -lm -ldl -lpthread

ROOMS := spec host/base host/data host/net host/morph host/program host/device host/ref host/cpu host/train host/search host/model host/inference host/onnx host/csource host/journal host/report \
	host/machine host/run
LIBRARY_SOURCES := $(foreach room,$(ROOMS),$(filter-out host/run/main.c,$(wildcard $(room)/*.c)))
LIBRARY_OBJECTS := $(LIBRARY_SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/onnx/onnx.pb-c.o
LIBRARY := $(BUILD)/libnasrun.a
TOOL_COMMON := $(wildcard tools/common/*.c)
TOOLS := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
MANUAL := $(BUILD)/manual
TEST_COMMON := $(wildcard tests/support/*.c)
TESTS := $(filter-out tests/gpu/%,$(wildcard tests/*/test_*.c))
TEST_SCRIPTS := $(sort $(wildcard tests/scripts/*.sh tests/cases/*.sh))
TEST_PROGRAMS := $(TESTS:tests/%.c=$(BUILD)/tests/%)
BENCH_OBJECTS := $(patsubst %,$(BUILD)/tests/bench/%.o,bench_train bench_operations fma_peak paper)
TEST_HELPERS := $(BUILD)/tests/run/make_data $(BUILD)/tests/bench/search/nasrun_placebo $(BUILD)/tests/bench/search/make_prior \
	$(BUILD)/tests/faults/inject.so $(BUILD)/tests/faults/power.so $(BUILD)/tests/faults/clock.so

# The GPU's plug-in is made where nvcc, cuDNN, cuBLAS and NCCL's header are, installed or in pip's layout (nvidia/*/include and lib
# of a Python's packages, where libraries have no names without a version); the program does without it. For the GPUs that are
# here, or for all; the last one's PTX is for those that are yet to come.
PYTHONS = $(VIRTUAL_ENV) $(CONDA_PREFIX) $(patsubst %/bin/python3,%,$(shell command -v python3)) /usr/local $(HOME)/.local
PIP := $(wildcard $(addsuffix /lib/python3*/*-packages/nvidia/*,$(PYTHONS)))
NVCC ?= $(firstword $(shell command -v nvcc) $(wildcard /usr/local/cuda/bin/nvcc) $(wildcard $(addsuffix /bin/nvcc,$(PIP))))
CUDA ?= $(if $(NVCC),$(patsubst %/bin/nvcc,%,$(realpath $(NVCC))))
place_of = $(firstword $(foreach folder,$(CUDA) $(PIP) /usr/local /usr,$(if $(wildcard $(folder)/include/$(1)),$(folder))))
CUDNN ?= $(call place_of,cudnn.h)
CUBLAS ?= $(call place_of,cublas_v2.h)
NCCL ?= $(call place_of,nccl.h)
FASHION ?= $(wildcard /usr/share/datasets/fashion-mnist)
ALL_ARCHITECTURES := 75 80 86 89 90 100 120
CUDA_ARCHITECTURES ?= $(or $(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | tr -d '. ' | \
	grep -E '^[0-9]+$$' | sort -u),$(ALL_ARCHITECTURES))
CUDA_PLACES = $(CUDA) $(filter-out $(CUDA),$(sort $(CUDNN) $(CUBLAS) $(NCCL)))
CUDA_FOLDERS = $(wildcard $(foreach place,$(CUDA_PLACES),$(place)/lib64 $(place)/lib $(place)/lib/x86_64-linux-gnu))
CUDA_INCLUDES = $(addprefix -isystem ,$(filter-out /usr/include,$(addsuffix /include,$(CUDA_PLACES))))
CUDA_MAJOR = $(shell sed -n 's/^\#define CUDART_VERSION *\([0-9]*\)[0-9]\{3\}$$/\1/p' $(CUDA)/include/cuda_runtime_api.h)
CUDA_LINKED = $(addprefix -L,$(CUDA_FOLDERS))
CUDNN_LINKED = $(CUDA_LINKED) $(addprefix -Wl$(comma)-rpath$(comma),$(CUDA_FOLDERS)) -l:libcudnn.so.9
comma := ,
ifneq ($(and $(CUDA),$(CUDNN),$(CUBLAS),$(NCCL)),)
PLUGIN := $(BIN)/libnasrun_cuda.so
FIRST_RUN := $(patsubst tests/gpu/test_%.cpp,$(BUILD)/tests/gpu/first/%,$(wildcard tests/gpu/test_kernels_*.cpp)) \
	$(BUILD)/tests/gpu/first/mosaic $(BUILD)/tests/bench/bench_train
GPU_TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/gpu/test_*.c)) $(BUILD)/tests/gpu/driver/libcuda.so.1 \
	$(BUILD)/tests/gpu/driver/libnvidia-ml.so.1 $(BUILD)/emulated/libnasrun_cuda.so $(BUILD)/tests/bench/roofline $(FIRST_RUN)
TEST_SCRIPTS += $(wildcard tests/gpu/*.sh)
endif

.PHONY: all no-plugin help deps demo test test-programs test-faults soak test-gpu fuzz debug check coverage tidy FORCE asan tsan bench bench-peers bench-gpu bench-predict bench-search roofline loss-curves install uninstall man deb bundle cuda12 gpu-bundle kernels format format-check clean
all: $(BIN)/nasrun $(TOOLS:%=$(BIN)/%) $(or $(PLUGIN),no-plugin)

no-plugin:
	@echo 'GPU support is left out: $(if $(CUDA),$(if $(CUDNN),$(if $(CUBLAS),NCCL,cuBLAS),cuDNN),nvcc) is not here'

help:
	@echo 'make              builds bin/nasrun and the tools'
	@echo 'make demo         installs what is missing, builds, searches on Fashion-MNIST for 5 minutes, shows the report'
	@echo 'make test         installs what is missing, builds, runs all tests'
	@echo 'make deps         installs what is missing (as root; otherwise prints the one command to run)'
	@echo 'make check T=net/test_graph   one test, with what it says; T=scripts/tools a script'
	@echo 'make debug        build/debug/bin/nasrun, for a debugger'
	@echo 'make coverage     which lines and branches the test programs reach, by file; T= of some'
	@echo 'make tidy         clang-tidy over the programs; T= of some files'
	@echo 'make compile_commands.json   for clangd'
	@echo 'make asan, tsan   the tests under AddressSanitizer and UBSan, under ThreadSanitizer'
	@echo 'make fuzz SECONDS=60   libFuzzer at every reader of foreign files, so long each; T=job of some'
	@echo 'make bench        training speed, beside PyTorch where it is installed'
	@echo 'make bench-peers  installs the newest PyTorch that pip offers into build/peers, for make bench alone'
	@echo 'make test-faults  every call of the C library in a short run fails in turn, by its site'
	@echo 'make soak MINUTES=30   short runs with random kills and faults, beside a long one whose memory is watched'
	@echo 'make test-gpu     the tests of the GPU plug-in on the GPUs of this machine'
	@echo 'make bench-gpu    training speed of a GPU beside PyTorch, and each operation beside its roofline and its prediction'
	@echo 'make bench-predict PYTHON=python3   naspredict beside Pillow and onnxruntime, from PNG files to answers'
	@echo 'make bench-search CIFAR10=DIR   what the search is worth beside none, a placebo and chance, at equal budgets; hours'
	@echo 'make loss-curves CIFAR10=DIR   the same training on reference, CPU and emulated GPU, as a picture (needs nvcc, cuDNN)'
	@echo 'make roofline     what a training step costs a GPU, on paper'
	@echo 'make install, uninstall PREFIX=/usr/local   programs, plug-in, manual pages, completions, samples, reference'
	@echo 'make man          build/release/manual: the manual pages and the completions of bash and zsh'
	@echo 'make deb          build/nasrun_VERSION-1_ARCH.deb, for the Debian that it is made on'
	@echo 'make bundle       build/nasrun-VERSION-x86_64.tar.xz: unpack and run, on machines where nothing can be installed'
	@echo 'make cuda12       the GPU plug-in for drivers of CUDA 12 beside that for 13; make bundle then takes it in'
	@echo 'make gpu-bundle   build/gpu-bundle: what to run on a GPU that nobody has tried yet, or for a bug report'
	@echo 'make format-check, format, clean'

deps:
	@tools/deps.sh build

# make demo DEMO_SECONDS=60: in less time.
DEMO_SECONDS ?= 300
demo:
	@tools/deps.sh build demo
	@$(MAKE) --no-print-directory -j$(JOBS) all
	$(BIN)/nasrun --fresh samples/fashion-mnist.cfg budget.seconds=$(DEMO_SECONDS) output.dir=runs/demo

test:
	@tools/deps.sh build demo test
	@$(MAKE) --no-print-directory -j$(JOBS) all man test-programs
	@NASRUN_BIN=$(BIN) NASRUN_TESTS=$(BUILD)/tests tests/run.sh $(filter-out %.so.1 %.so %/test_hardware %/roofline $(FIRST_RUN),$(GPU_TESTS)) $(TEST_PROGRAMS) $(TEST_SCRIPTS)

test-programs: $(TEST_PROGRAMS) $(TEST_HELPERS) $(GPU_TESTS)

# On the hardware: what `make test` shows on an emulated GPU.
test-gpu: all test-programs
	@NASRUN_GPU=$(abspath $(BIN)/nasrun) NASRUN_BIN=$(BIN) NASRUN_TESTS=$(BUILD)/tests tests/run.sh tests/gpu/hardware.sh tests/gpu/whole_job.sh tests/gpu/workers.sh

# Every call of the C library in a short run fails in turn, by its site; SLICE=1/4 make test-faults: a quarter of them.
test-faults: all $(TEST_HELPERS)
	@FAULTS=0 INSTANTS=0 NASRUN_BIN=$(BIN) NASRUN_TESTS=$(BUILD)/tests tests/run.sh tests/scripts/faults.sh tests/scripts/power.sh

# Short runs with random kills and faults for MINUTES, beside a long one whose memory is watched.
MINUTES ?= 30
soak: all $(TEST_HELPERS)
	@MINUTES=$(MINUTES) NASRUN_BIN=$(BIN) NASRUN_TESTS=$(BUILD)/tests tests/faults/soak.sh

# Sanitizers: the same test programs and a whole run, built apart. ThreadSanitizer knows OpenMP's synchronisation only through Archer, which
# comes with LLVM's runtime: hence clang, whose runtime serves oneDNN's loops too.
asan:
	@tools/deps.sh build demo test
	@$(MAKE) --no-print-directory -j$(JOBS) BUILD=build/asan BIN=build/asan/bin OPTIMIZE=-O1 \
		SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' PLUGIN= all test-programs
	@NASRUN_BIN=build/asan/bin NASRUN_TESTS=build/asan/tests tests/run.sh $(TESTS:tests/%.c=build/asan/tests/%) tests/faults/whole_run.sh

tsan:
	@tools/deps.sh build demo test tsan
	@$(MAKE) --no-print-directory -j$(JOBS) CC=clang BUILD=build/tsan BIN=build/tsan/bin OPTIMIZE=-O1 \
		SANITIZE='-fsanitize=thread' PLUGIN= GPU_TESTS= all test-programs
	@TSAN_OPTIONS=ignore_noninstrumented_modules=1 OMP_NUM_THREADS=2 NASRUN_BIN=build/tsan/bin NASRUN_TESTS=build/tsan/tests \
		tests/run.sh $(TESTS:tests/%.c=build/tsan/tests/%) tests/scripts/several_devices.sh tests/faults/whole_run.sh

# libFuzzer at every reader of foreign files, SECONDS each: T='png job' of some. What it finds lies in build/fuzz/found.
SECONDS ?= 60
fuzz:
	@tools/deps.sh build test tsan
	@$(MAKE) --no-print-directory -j$(JOBS) CC=clang BUILD=build/fuzz OPTIMIZE=-O1 PLUGIN= GPU_TESTS= \
		SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' build/fuzz/tests/fuzz/fuzz
	@tests/fuzz/run.sh build/fuzz $(SECONDS) $(T)

# For a debugger: build/debug/bin/nasrun. The kernels are the release's.
debug:
	@$(MAKE) --no-print-directory -j$(JOBS) BUILD=build/debug BIN=build/debug/bin KERNEL_BUILD=$(KERNEL_BUILD) OPTIMIZE='-Og -g3' all

# make check T=net/test_graph, or a script: make check T=scripts/tools.
check: $(if $(wildcard tests/$(T).sh),all man $(TEST_HELPERS),$(BUILD)/tests/$(T))
	@$(if $(T),,$(error make check: expected T=, a test without its ending, as in T=net/test_graph))
	NASRUN_BIN=$(BIN) NASRUN_TESTS=$(BUILD)/tests OMP_NUM_THREADS=2 $(if $(wildcard tests/$(T).sh),tests/$(T).sh,$(BUILD)/tests/$(T))

# What the test programs reach, or those of T: make coverage T='net/test_graph net/test_cost'.
coverage:
	@$(MAKE) --no-print-directory -j$(JOBS) BUILD=build/coverage BIN=build/coverage/bin OPTIMIZE='-O1 --coverage -DCPU_ONE_COPY -Wno-psabi -Wno-format-truncation' \
		$(or $(T:%=build/coverage/tests/%),PLUGIN= GPU_TESTS= test-programs)
	@find build/coverage -name '*.gcda' -delete
	@tests/run.sh $(or $(T:%=build/coverage/tests/%),$(TESTS:tests/%.c=build/coverage/tests/%))
	@python3 tests/coverage.py build/coverage

# Faults that clang-tidy finds (.clang-tidy says which): T='host/net/graph.c' of some files.
TIDIED = $(or $(T),$(LIBRARY_SOURCES) host/run/main.c $(wildcard tools/*.c tools/*/*.c))
tidy:
	@echo $(TIDIED) | xargs -P $(JOBS) -n 4 sh -c 'clang-tidy --quiet "$$@" -- -std=c17 -D_GNU_SOURCE -I. -I$(BUILD)/onnx -fopenmp '"$$(pkg-config --cflags freetype2)" tidy

# For clangd and others that ask how a file is compiled.
compile_commands.json: FORCE
	@$(MAKE) --no-print-directory -nB all man test-programs CC='$(CC)' CXX='$(CXX)' | \
		python3 tools/compile_commands.py '$(CURDIR)' >$@.tmp && mv $@.tmp $@
FORCE:

bench:
	@tools/deps.sh build
	@$(MAKE) --no-print-directory $(BUILD)/tests/bench/bench_train
	@tests/bench/bench.sh $(BUILD)/tests/bench/bench_train

# What make bench compares with. PyTorch's packages for GPUs are large: several gigabytes.
bench-peers: build/peers/bin/python
build/peers/bin/python:
	@tools/deps.sh build test
	python3 -m venv build/peers.new
	build/peers.new/bin/python -m pip install --quiet --disable-pip-version-check torch numpy
	rm -rf build/peers && mv build/peers.new build/peers

# GPU=1 make bench-gpu: another GPU than the first.
bench-gpu: all $(BUILD)/tests/bench/bench_train
	@for batch in 8 128 512; do \
		GPU=$${GPU:-0} PLUGIN=$(BIN)/libnasrun_cuda.so BATCH=$$batch NETS='lean resnet' tests/bench/bench.sh $(BUILD)/tests/bench/bench_train || exit; \
	done
	@$(BUILD)/tests/bench/bench_train --gpu $${GPU:-0} --plugin $(BIN)/libnasrun_cuda.so --batch 512 --operations lean resnet

# PREDICT='--threads 1 --rounds 5 res9:32': of other settings.
bench-predict: $(BIN)/nasrun $(BIN)/naspredict $(BIN)/nasexport
	@$(or $(PYTHON),python3) tests/bench/bench_predict.py --bin $(BIN) $(if $(FASHION),--fashion '$(FASHION)') $(PREDICT)

# Whether the search is worth its time: tests/bench/README.md. CIFAR10=DIR is its binary version; SEARCH='--seeds 4 --seconds 85'.
bench-search: $(BIN)/nasrun $(BUILD)/tests/bench/search/nasrun_placebo
	@python3 tests/bench/search/bench.py --nasrun $(BIN)/nasrun --placebo $(BUILD)/tests/bench/search/nasrun_placebo \
		$(if $(CIFAR10),--cifar10 '$(CIFAR10)') $(if $(FASHION),--fashion '$(FASHION)') $(SEARCH)

# What a training step costs a GPU, on paper: cuda/ROOFLINE.md, or ROOFLINE='--gpu a100 --batch 128 densenet'.
roofline: $(BUILD)/tests/bench/roofline
	@$< $(ROOFLINE)

# What is installed, and taken away again: pairs of a file and its name below PREFIX.
PREFIX ?= /usr/local
PROGRAMS := nasrun $(TOOLS)
PLUGINS := libnasrun_cuda.so libnasrun_cuda12.so
PAGES := $(PROGRAMS:%=man/man1/%.1) man/man5/nasrun.cfg.5 $(PROGRAMS:%=bash-completion/completions/%) $(PROGRAMS:%=zsh/site-functions/_%)
INSTALLED := $(foreach f,$(PROGRAMS),$(BIN)/$f:bin/$f) $(foreach f,$(PAGES),$(MANUAL)/$f:share/$f) \
	$(foreach f,$(wildcard samples/*.* samples/*/*.*),$f:share/nasrun/$f) \
	$(foreach f,README.md LICENSE CHANGELOG.md spec/REFERENCE.md,$f:share/doc/nasrun/$(notdir $f))
INSTALLED_PLUGINS = $(if $(PLUGIN),$(foreach f,$(PLUGINS:%=$(BIN)/%),$(if $(wildcard $f),$f:lib/$(notdir $f))))
half = $(word $(1),$(subst :, ,$(2)))
install: all man
	@set -e; $(foreach pair,$(INSTALLED) $(INSTALLED_PLUGINS),install -D -m $(if $(findstring :bin/,$(pair))$(filter %.sh,$(pair)),755,644) \
		$(call half,1,$(pair)) '$(DESTDIR)$(PREFIX)/$(call half,2,$(pair))';)
	@echo 'installed in $(DESTDIR)$(PREFIX)'
uninstall:
	@rm -f $(foreach pair,$(INSTALLED),'$(DESTDIR)$(PREFIX)/$(call half,2,$(pair))') $(PLUGINS:%='$(DESTDIR)$(PREFIX)/lib/%')
	@for folder in share/nasrun/samples/pretrained share/nasrun/samples share/nasrun share/doc/nasrun; do \
		[ ! -d "$(DESTDIR)$(PREFIX)/$$folder" ] || rmdir --ignore-fail-on-non-empty "$(DESTDIR)$(PREFIX)/$$folder"; \
	done

# Manual pages and completions, laid out as in PREFIX/share.
man: $(MANUAL)/made
$(MANUAL)/made: $(BUILD)/tools/manual/manual
	@rm -rf $(@D)
	$< $(@D)
	@touch $@

# A package for the Debian that it is made on. MAINTAINER='NAME <ADDRESS>'.
deb: all man
	@MAKE='$(MAKE)' MAINTAINER='$(MAINTAINER)' tools/deb.sh

# For machines where nobody is root: all that the programs need in one folder, for all GPUs.
bundle:
	@$(if $(filter file,$(origin CUDA_ARCHITECTURES)),CUDA_ARCHITECTURES='$(ALL_ARCHITECTURES)') KERNEL_BUILD='$(BUILD)' \
		CUDA12='$(CUDA12)' MAKE='$(MAKE)' CC='$(CC)' tools/bundle.sh

# The first minutes on a GPU: that bundle with the programs that test and measure, data, and the script to run (tests/gpu/first).
# CIFAR10=DIR takes CIFAR-10 along, FASHION= leaves Fashion-MNIST out.
gpu-bundle: $(BUILD)/tests/gpu/first/mosaic
	@$(if $(filter file,$(origin CUDA_ARCHITECTURES)),CUDA_ARCHITECTURES='80 90 100',CUDA_ARCHITECTURES='$(CUDA_ARCHITECTURES)') \
		KERNEL_BUILD='$(BUILD)' CUDA12='$(CUDA12)' MAKE='$(MAKE)' CC='$(CC)' CXX='$(CXX)' \
		CIFAR10='$(CIFAR10)' FASHION='$(FASHION)' MOSAIC=$< tests/gpu/first/make.sh tests/gpu/test_hardware $(FIRST_RUN:$(BUILD)/%=%) \
		$(if $(CUDA12),$(patsubst $(BUILD)/tests/gpu/first/kernels_%,tests/gpu/first/kernels12_%,$(filter $(BUILD)/tests/gpu/first/kernels_%,$(FIRST_RUN))))

FORMATTED = $(shell find cuda host spec tests tools -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp')
format:
	clang-format -i $(FORMATTED)
format-check:
	@clang-format --dry-run -Werror $(FORMATTED)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(INCLUDES) -c $< -o $@

# ONNX's messages, from the schema that comes with its development package.
ONNX_SCHEMA ?= /usr/include/onnx
$(BUILD)/onnx/onnx.pb-c.c: $(ONNX_SCHEMA)/onnx.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(@D) -I$(ONNX_SCHEMA) $<
$(BUILD)/onnx/onnx.pb-c.o: $(BUILD)/onnx/onnx.pb-c.c
	$(CC) $(CFLAGS_ALL) -c $< -o $@
ONNX_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard host/onnx/*.c))
ONNX_OBJECTS += $(BUILD)/tests/onnx/test_onnx_refused.o
$(ONNX_OBJECTS): INCLUDES = -I$(BUILD)/onnx
$(ONNX_OBJECTS): | $(BUILD)/onnx/onnx.pb-c.c

$(BUILD)/host/report/fonts.o: INCLUDES = $(shell pkg-config --cflags freetype2)
# Nobody reads the flags of floating-point exceptions; gcc then makes vectors of loops with choices in them. Results are the same.
$(BUILD)/host/cpu/kernel_activation.o: CFLAGS_ALL += -fno-trapping-math

$(LIBRARY): $(LIBRARY_OBJECTS)
	@rm -f $@
	ar qcs $@ $^

$(BIN)/nasrun: $(BUILD)/host/run/main.o $(LIBRARY)
	@mkdir -p $(BIN)
	$(CC) $(CFLAGS_ALL) $^ -o $@ $(LIBS)

$(BIN)/%: $(BUILD)/tools/%.o $(TOOL_COMMON:%.c=$(BUILD)/%.o) $(LIBRARY)
	@mkdir -p $(BIN)
	$(CC) $(CFLAGS_ALL) $(filter %.o,$^) $(LIBRARY) -o $@ $(LIBS)

# A tool of several files has a folder of its name.
$(BIN)/naspredict: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/predict/*.c))
$(BIN)/nasexport: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/export/*.c))
$(BIN)/nasinspect: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/inspect/*.c))

$(BUILD)/tools/manual/manual: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/manual/*.c) $(TOOL_COMMON)) $(LIBRARY)
	$(CC) $(CFLAGS_ALL) $^ -o $@ $(LIBS)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_COMMON:%.c=$(BUILD)/%.o) $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $^ -o $@ $(LIBS) -lcmocka

$(BUILD)/tests/faults/%.so: tests/faults/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -fPIC -shared $< -o $@ -ldl -lpthread

# Calls of the C library that tests let fail.
FAILING_CALLS := malloc calloc realloc aligned_alloc strdup strndup open_memstream fopen fdopen opendir fdopendir readdir read write fwrite \
	fread ferror fseek fsync fdatasync ftruncate fstat stat lstat flock mkdir rename unlink unlinkat pthread_create open openat fcntl \
	png_create_info_struct cJSON_Parse cJSON_ParseWithLength config_read_string config_setting_set_string cairo_status \
	cairo_surface_write_to_png_stream dnnl_primitive_execute DGifOpen jpeg_read_header gzerror gzread utf8proc_map
$(BUILD)/tests/faults/test_%: $(BUILD)/tests/faults/test_%.o $(BUILD)/tests/faults/failing.o $(TEST_COMMON:%.c=$(BUILD)/%.o) $(LIBRARY)
	$(CC) $(CFLAGS_ALL) $(FAILING_CALLS:%=-Wl,--wrap=%) $^ -o $@ $(LIBS) -lcmocka

$(BUILD)/tests/fuzz/test_entry: $(BUILD)/tests/fuzz/entry.o

$(BUILD)/tests/fuzz/fuzz: $(BUILD)/tests/fuzz/entry.o $(TEST_COMMON:%.c=$(BUILD)/%.o) $(LIBRARY)
	$(CC) $(CFLAGS_ALL) -fsanitize=fuzzer $^ -o $@ $(LIBS) -lcmocka

# Its candidates' trainings are the test's.
$(BUILD)/tests/run/test_workers: LIBS += -Wl,--wrap=candidate_train -Wl,--wrap=admission_prepare_ahead

# What a calibration finds is the test's.
$(BUILD)/tests/run/test_speed: LIBS += -Wl,--wrap=calibration_measure

$(BUILD)/tests/bench/bench_train: $(BENCH_OBJECTS) $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $^ -o $@ $(LIBS)

$(BUILD)/tests/bench/bench_cost $(BUILD)/tests/bench/bench_conv: %: %.o $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $^ -o $@ $(LIBS)

$(BUILD)/tests/bench/search/nasrun_placebo: $(BUILD)/tests/bench/search/placebo.o $(BUILD)/host/run/main.o $(LIBRARY)
	$(CC) $(CFLAGS_ALL) -Wl,--wrap=search_new $^ -o $@ $(LIBS)

$(BUILD)/tests/bench/search/make_prior: $(BUILD)/tests/bench/search/make_prior.o $(LIBRARY)
	$(CC) $(CFLAGS_ALL) $^ -o $@ $(LIBS)

$(BUILD)/tests/bench/roofline: $(BUILD)/tests/bench/roofline.o $(BUILD)/tests/bench/paper.o $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $^ -o $@ $(LIBS)

# ---- the GPU's plug-in: its own copies of the host code it needs, and nothing exported but its entry ----
PLUGIN_FLAGS = -fPIC -fvisibility=hidden $(CUDA_INCLUDES)
PLUGIN_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard cuda/device/*.c cuda/conv/*.c))
# Lines for profilers. They are larger than the code unless compressed, which not all drivers of CUDA 12 can read.
KERNEL_LINES = $(if $(filter-out 12,$(CUDA_MAJOR)),-lineinfo -compress-mode=size)
KERNEL_BUILD ?= $(BUILD)
space := $() $()
KERNELS := $(KERNEL_BUILD)/kernels-$(subst $(space),-,$(strip $(CUDA_ARCHITECTURES)))
PLUGIN_KERNELS := $(patsubst cuda/kernels/%.cu,$(KERNELS)/%.o,$(wildcard cuda/kernels/*.cu))
PLUGIN_HOST := $(patsubst %.c,$(BUILD)/plugin/%.o,$(wildcard host/base/*.c host/net/*.c host/program/*.c host/device/*.c))

$(BUILD)/cuda/%.o: cuda/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(PLUGIN_FLAGS) -c $< -o $@

# What ptxas says of a kernel is kept beside it: tests/gpu/compile.sh reads it.
kernels: $(PLUGIN_KERNELS)
$(KERNELS)/%.o: cuda/kernels/%.cu
	@mkdir -p $(@D)
	$(NVCC) -std=c++17 -O3 -I. -MMD -MP $(KERNEL_LINES) $(foreach a,$(CUDA_ARCHITECTURES),-gencode arch=compute_$(a),code=sm_$(a)) \
		$(foreach a,$(lastword $(CUDA_ARCHITECTURES)),-gencode arch=compute_$(a),code=compute_$(a)) \
		-Werror all-warnings -Xptxas -v,-warn-spills -Xcompiler -fPIC,-fvisibility=hidden -c $< -o $@ 2>$(@:.o=.log) || \
		{ cat $(@:.o=.log); exit 1; }

$(BUILD)/plugin/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(PLUGIN_FLAGS) -c $< -o $@

$(BUILD)/plugin/host.a: $(PLUGIN_HOST)
	@rm -f $@
	ar qcs $@ $^

# Of CUDA's libraries it knows the names alone: the program finds them. It stays where it is when the program lets go of it, for a
# driver may still call what it has been given.
$(BIN)/libnasrun_cuda.so: $(PLUGIN_OBJECTS) $(PLUGIN_KERNELS) $(BUILD)/plugin/host.a
	@mkdir -p $(BIN)
	$(CC) -shared $(SANITIZE) $(if $(SANITIZE),,-Wl$(comma)-z$(comma)defs) -Wl,-z,nodelete -Wl,--exclude-libs,ALL $^ -o $@ \
		$(CUDA_LINKED) -l:libcudnn.so.9 -l:libcublas.so.$(CUDA_MAJOR) -lcudart_static -lstdc++ -lz -lxxhash -ldl -lrt -lpthread -lm

# The same for drivers of CUDA 12 (525 and later), with a toolkit of that version: tools/cuda12.sh puts one together. Of the GPUs
# those which that knows, where 8.6 and 8.9 run the code of 8.0; its newest PTX is for the others.
NASRUN_CUDA12 ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/nasrun/cuda12
CUDA12 ?= $(patsubst %/complete,%,$(wildcard $(NASRUN_CUDA12)/complete))
CUDA12_KNOWN = $(patsubst compute_%,%,$(shell $(CUDA12)/bin/nvcc --list-gpu-arch))
CUDA12_WANTED = $(filter-out $(if $(filter 80,$(CUDA_ARCHITECTURES)),86 89),$(CUDA_ARCHITECTURES))
cuda12:
	@$(MAKE) --no-print-directory CUDA12=$$($(if $(CUDA12),echo $(CUDA12),tools/cuda12.sh)) $(BIN)/libnasrun_cuda12.so

CUDA12_MAKE = $(MAKE) --no-print-directory BUILD=$(BUILD)/cuda12 KERNEL_BUILD=$(KERNEL_BUILD)/cuda12 BIN=$(BUILD)/cuda12/bin \
	CUDA=$(CUDA12) NVCC=$(CUDA12)/bin/nvcc CUBLAS=$(CUDA12) CUDNN=$(CUDNN) NCCL=$(NCCL) \
	CUDA_ARCHITECTURES='$(or $(filter $(CUDA12_KNOWN),$(CUDA12_WANTED)),$(lastword $(CUDA12_KNOWN)))'

.PHONY: cuda12-made
cuda12-made:
	@$(CUDA12_MAKE) $(BUILD)/cuda12/bin/libnasrun_cuda.so

$(BIN)/libnasrun_cuda12.so: cuda12-made
	cp -f $(BUILD)/cuda12/bin/libnasrun_cuda.so $@

# ---- its tests: the same objects on an emulated GPU, plans for described devices, a stand-in for the driver ----
EMULATED := $(patsubst cuda/kernels/%.cu,$(BUILD)/tests/gpu/kernel_%.o,$(wildcard cuda/kernels/*.cu)) $(BUILD)/tests/gpu/cuda_on_cpu.o \
	$(patsubst %.c,$(BUILD)/%.o,$(filter-out %/emu_test.c %/emu_library.c,$(wildcard tests/gpu/emu/*.c)))
EMULATED_PLUGIN := $(filter-out %/cuda_nccl.o,$(PLUGIN_OBJECTS))
EMULATED_FLAGS = -std=c++17 -O2 -g -fPIC -I. -MMD -MP -ffp-contract=off -fno-strict-aliasing $(CUDA_INCLUDES) $(SANITIZE)
WRAPS = $(foreach name,conv_describe conv_choose conv_trial_open conv_plan_execute cudnnBackendSetAttribute cudnnBackendGetAttribute clock_seconds,-Wl,--wrap=$(name))

$(BUILD)/tests/gpu/%.o: tests/gpu/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -fPIC $(CUDA_INCLUDES) -c $< -o $@

$(BUILD)/tests/gpu/kernel_%.o: cuda/kernels/%.cu
	@mkdir -p $(@D)
	$(CXX) $(EMULATED_FLAGS) -include tests/gpu/cuda_on_cpu.h -c -x c++ $< -o $@

$(BUILD)/tests/gpu/cuda_on_cpu.o: tests/gpu/cuda_on_cpu.cpp
	@mkdir -p $(@D)
	$(CXX) $(EMULATED_FLAGS) -c $< -o $@

$(BUILD)/tests/gpu/test_device%: $(BUILD)/tests/gpu/test_device%.o $(BUILD)/tests/gpu/emu/emu_test.o $(EMULATED) $(EMULATED_PLUGIN) $(TEST_COMMON:%.c=$(BUILD)/%.o) $(LIBRARY)
	$(CXX) $(SANITIZE) $(WRAPS) $^ -o $@ $(CUDNN_LINKED) $(LIBS) -fopenmp -lcmocka

$(BUILD)/tests/gpu/loss_curves: $(BUILD)/tests/gpu/loss_curves.o $(EMULATED) $(EMULATED_PLUGIN) $(LIBRARY)
	$(CXX) $(SANITIZE) $(WRAPS) $^ -o $@ $(CUDNN_LINKED) $(LIBS) -fopenmp

# The kernels' tests on a GPU: the sources of tests/gpu/kernels.sh with the kernels as nvcc made them.
KERNEL_CHECK := $(BUILD)/tests/gpu/first/kernel_check.o $(BUILD)/tests/gpu/first/kernels_on_gpu.o

$(BUILD)/tests/gpu/first/%.o: tests/gpu/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(EMULATED_FLAGS) -c $< -o $@

$(BUILD)/tests/gpu/first/%.o: tests/gpu/first/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(EMULATED_FLAGS) -c $< -o $@

$(BUILD)/tests/gpu/first/kernels_%: $(BUILD)/tests/gpu/first/test_kernels_%.o $(KERNEL_CHECK) $(PLUGIN_KERNELS) $(BUILD)/plugin/host.a
	$(CC) $(SANITIZE) $^ -o $@ -L$(CUDA)/lib64 -lcudart_static $(LIBS) -lstdc++ -lrt -lcmocka

# Of the kernels for CUDA 12, which run where the driver knows no newer one.
$(BUILD)/tests/gpu/first/kernels12_%: cuda12-made
	@$(CUDA12_MAKE) $(BUILD)/cuda12/tests/gpu/first/kernels_$*
	cp -f $(BUILD)/cuda12/tests/gpu/first/kernels_$* $@

$(BUILD)/tests/gpu/first/mosaic: $(BUILD)/tests/gpu/first/mosaic.o
	$(CC) $(CFLAGS_ALL) $^ -o $@ $(LIBS)

# CIFAR10: folder of the data in its binary version.
loss-curves: $(BUILD)/tests/gpu/loss_curves
	$< '$(CIFAR10)' cuda/loss-curves.png

# The programs with a plug-in whose GPU is emulated, in a folder of their own.
$(BUILD)/emulated/libnasrun_cuda.so: $(BUILD)/tests/gpu/emu/emu_library.o $(EMULATED) $(EMULATED_PLUGIN) $(BUILD)/plugin/host.a $(BIN)/nasrun
	@mkdir -p $(@D)
	cp -f $(BIN)/nasrun $(@D)/nasrun
	$(CXX) -shared $(SANITIZE) $(WRAPS) -Wl,-Bsymbolic $(filter-out $(BIN)/nasrun,$^) -o $@ $(CUDNN_LINKED) -lpthread -lm -lz -lxxhash

$(BUILD)/tests/gpu/test_plan%: $(BUILD)/tests/gpu/test_plan%.o $(BUILD)/tests/gpu/plan_shapes.o $(filter $(BUILD)/cuda/conv/%,$(PLUGIN_OBJECTS)) $(TEST_COMMON:%.c=$(BUILD)/%.o) $(LIBRARY)
	$(CC) $(CFLAGS_ALL) $^ -o $@ $(CUDNN_LINKED) -l:libcudart.so.$(CUDA_MAJOR) -ldl $(LIBS) -lcmocka

$(BUILD)/tests/gpu/test_plan_choice: $(BUILD)/tests/gpu/plan_double.o

$(BUILD)/tests/gpu/test_nccl: $(BUILD)/cuda/device/cuda_nccl.o

$(BUILD)/tests/gpu/driver/libcuda.so.1: tests/gpu/fake_libcuda.c
	@mkdir -p $(@D)
	$(CC) -std=c17 $(WARNINGS) -D_GNU_SOURCE -O1 -shared -fPIC -Wl,-soname,libcuda.so.1 $< -o $@

$(BUILD)/tests/gpu/driver/libnvidia-ml.so.1: tests/gpu/fake_nvml.c
	@mkdir -p $(@D)
	$(CC) -std=c17 $(WARNINGS) -D_GNU_SOURCE -O1 -shared -fPIC -Wl,-soname,libnvidia-ml.so.1 $< -o $@

.PRECIOUS: $(BUILD)/%.o
# Named here, they are files that ought to exist, which pattern rules may stand on; and they are kept.
.SECONDARY: $(EMULATED) $(KERNEL_CHECK) $(PLUGIN_OBJECTS) $(BUILD)/tests/gpu/emu/emu_test.o $(BUILD)/tests/gpu/emu/emu_library.o

clean:
	rm -rf build bin

-include $(shell find $(BUILD) $(KERNELS) -name '*.d' 2>/dev/null)
