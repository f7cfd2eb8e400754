# keepmap's build. `make help` lists the targets; everything made lands under build/.
#
# Each flavour (native, asan, tsan, windows, ...) has an object tree of its own, build/FLAVOUR/obj, and rebuilds what a
# changed flag or header asks for. Makes in one tree run in parallel unless told otherwise (-j1).
#
# To set: CC CXX FUZZ_CC FUZZ_SECONDS CFLAGS CXXFLAGS CPPFLAGS LDFLAGS, PREFIX DESTDIR LIBDIR, WINDOWS_CC WINDOWS_CXX, WERROR=1 (warnings are errors), BUILD (another
# directory than build), JOBS (how much at once), V=1 (show commands), DEPS=0 (never install a package); WITH_ZLIB,
# WITH_ISAL, WITH_LIBDEFLATE: the compression libraries (auto: if they are there; 1: they must be; 0: without; for Windows
# only zlib).

ifeq ($(origin CC),default)
CC := cc
endif
AR ?= ar
CFLAGS ?= -O2 -g
CXX ?= c++
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 600
WINDOWS_CC ?= x86_64-w64-mingw32-gcc
WINDOWS_CXX ?= x86_64-w64-mingw32-g++
WINDOWS_AR ?= x86_64-w64-mingw32-ar
BUILD ?= build
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
export JOBS
WITH_ZLIB ?= auto
WITH_ISAL ?= auto
WITH_LIBDEFLATE ?= auto
export WITH_ZLIB WITH_ISAL WITH_LIBDEFLATE

MAKEFLAGS += --no-builtin-rules
# A make called by another shares that one's jobs.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(JOBS)
endif
override BUILD := $(abspath $(BUILD))
.DEFAULT_GOAL := all
SHELL := /bin/sh
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
comma := ,

# One short line a command; V=1 shows the commands themselves.
say = $(if $(filter 1,$(V)),,@printf '  %-8s %s\n' '$(1)' '$(2:$(CURDIR)/%=%)';)

# ---- What there is -------------------------------------------------------------------------------

VERSION := $(shell sed -n 's/^.define KM_VERSION_TEXT "\([0-9.]*\)".*/\1/p' include/keepmap.h)
SONAME := libkeepmap.so.0

codec_files := $(wildcard src/codec_*.c)
core     := $(filter-out $(codec_files),$(wildcard src/*.c))
posix    := $(wildcard src/posix/*.c)
windows  := $(wildcard src/windows/*.c)
# Of the command's and the tests' files, X_posix.c and X_windows.c are for one system.
on_posix   = $(filter-out %_windows.c,$(wildcard $(1)))
on_windows = $(filter-out %_posix.c,$(wildcard $(1)))
command  := $(call on_posix,tools/*.c)
support  := $(call on_posix,tests/support/*.c)
command_windows := $(call on_windows,tools/*.c)
support_windows := $(call on_windows,tests/support/*.c)
fault    := $(wildcard tests/posix/fault/*.c)
suites   := $(wildcard tests/test_*.c)
psuites  := $(wildcard tests/posix/test_*.c)
stress   := $(wildcard tests/stress/stress_*.c)
fuzzers  := $(wildcard tests/fuzz/fuzz_*.c)
fuzz_support := $(filter-out $(fuzzers) tests/fuzz/make_seeds.c,$(wildcard tests/fuzz/*.c))
# The one of snapshots takes minutes and has peers of its own.
snapshot_bench := tests/bench/bench_snapshot.c
benches  := $(filter-out $(snapshot_bench),$(wildcard tests/bench/bench_*.c tests/bench/bench_*.cpp))
bench_support := $(filter-out $(benches) $(snapshot_bench),$(wildcard tests/bench/*.c tests/bench/*.cpp))
examples := $(wildcard examples/*.c examples/*.cpp)
compat_programs := $(wildcard tests/compat/*.c tests/compat/*.cpp)
headers  := $(wildcard include/*.h include/keepmap/*.h include/keepmap/compat/*.h)
man      := $(wildcard tools/man/*.[1-9])
scripts  := $(wildcard tools/install-deps tools/fetch-cmocka tools/check-* tools/find-* tests/run tests/wine tests/fuzz/run tests/fuzz/keep .ci/run)
all_headers := $(headers) $(wildcard src/*.h src/*/*.h tools/*.h examples/*.h examples/*.hpp tests/*.h tests/*/*.h tests/*/*/*.h)

# Suites named test_fault_* have the calls listed here replaced by tests/posix/fault/, to make them fail.
wrapped := $(if $(wildcard tests/posix/fault/wrapped_calls.txt),\
    $(shell sed 's/\#.*//' tests/posix/fault/wrapped_calls.txt))

# For the suites that run a compiler.
export KM_TEST_SOURCE := $(CURDIR)
export KM_TEST_CC = $(CC)
export KM_TEST_CXX = $(CXX)

# ---- What it is built with -----------------------------------------------------------------------

# The goals that may install something; the others take the machine as it is. `make` reads codecs-*.mk, having made them
# first, so that the libraries are there when they are looked for.
may_install := $(filter demo test test-windows asan tsan valgrind stress bench bench-snapshot bench-wine fuzz fuzz-short fuzz-keep test-programs test-codecs test-marked lint%,$(MAKECMDGOALS))
build_deps := $(if $(may_install),deps-build) $(if $(filter test-windows,$(may_install)),deps-windows) \
    $(if $(filter lint%,$(may_install)),deps-lint)

ifneq ($(filter-out clean help format uninstall,$(or $(MAKECMDGOALS),all)),)
include $(BUILD)/codecs-native.mk $(BUILD)/codecs-windows.mk
endif

# xxhash.h is the same for every compiler, but not on the path of each: it is copied from where the native one finds it.
xxhash := $(BUILD)/deps/include/xxhash.h
$(xxhash): | $(build_deps)
	@found=$$(echo '#include <xxhash.h>' | $(CC) $(CPPFLAGS) $(CFLAGS) -E -M -x c - 2>/dev/null | tr -s ' \\' '\n\n' | grep '/xxhash\.h$$' | head -n 1); \
	    test -n "$$found" || { echo "keepmap: xxhash.h is not there: install the package libxxhash-dev, or run tools/install-deps build" >&2; exit 1; }; \
	    mkdir -p $(@D) && cp "$$found" $@

# xxhash.h is asked for here so that its want is said before anything else.
$(BUILD)/codecs-native.mk: $(xxhash) always | $(build_deps)
	@mkdir -p $(@D)
	@tools/find-codecs native $@ '$(strip $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS))' \
	    zlib=$(WITH_ZLIB) isal=$(WITH_ISAL) libdeflate=$(WITH_LIBDEFLATE)

# What is wanted of zlib here must not stop a build for this system: only `auto` and `0` are passed on, unless it is for
# Windows.
for_windows := $(filter windows %-windows lint% $(BUILD)/windows%,$(MAKECMDGOALS))
$(BUILD)/codecs-windows.mk: always | $(build_deps)
	@mkdir -p $(@D)
	@tools/find-codecs windows $@ '$(strip $(WINDOWS_CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS))' \
	    zlib=$(if $(for_windows),$(WITH_ZLIB),$(WITH_ZLIB:1=auto))

codec_sources = $(patsubst %,src/codec_%.c,$(codecs_$(1)))
core_native  := $(core) $(call codec_sources,native)
core_windows := $(core) $(call codec_sources,windows)
codec_flags = $(if $(filter zlib,$(1)),-DKM_WITH_ZLIB=1) $(if $(filter isal,$(1)),-DKM_WITH_ISAL=1) \
    $(if $(filter libdeflate,$(1)),-DKM_WITH_LIBDEFLATE=1)

# ---- How a file is compiled, flavour by flavour --------------------------------------------------

warnings := -Wall -Wextra -Wpedantic -Wshadow -Wconversion
ifeq ($(WERROR),1)
werror := -Werror
endif
posix_flags   := -std=c11 $(warnings) -Iinclude -iquote src -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -fPIC -fvisibility=hidden -pthread \
    -isystem $(dir $(xxhash)) $(call codec_flags,$(codecs_native))
windows_flags := -std=c11 $(warnings) -Iinclude -iquote src -D_WIN32_WINNT=0x0A00 -D__USE_MINGW_ANSI_STDIO=1 \
    -isystem $(dir $(xxhash)) $(call codec_flags,$(codecs_windows))
asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
fuzz_flags := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all

cc_native := $(CC)
cc_asan   := $(CC)
cc_tsan   := $(CC)
cc_fuzz   := $(FUZZ_CC)
cc_lint-gcc   := gcc
cc_lint-clang := clang
cc_lint-windows := $(WINDOWS_CC)
cc_windows     := $(WINDOWS_CC)
cc_windows-dll := $(WINDOWS_CC)

flags_native := $(posix_flags) $(CPPFLAGS) $(CFLAGS)
flags_asan   := $(posix_flags) $(CPPFLAGS) $(CFLAGS) $(asan)
flags_tsan   := $(posix_flags) $(CPPFLAGS) $(CFLAGS) $(tsan)
flags_fuzz   := $(posix_flags) $(CPPFLAGS) $(fuzz_flags)
flags_lint-gcc   := $(posix_flags) -O2 -Werror
flags_lint-clang := $(posix_flags) -O1 -Werror
flags_lint-windows := $(windows_flags) -O2 -Werror
flags_windows     := $(windows_flags) $(CPPFLAGS) $(CFLAGS)
flags_windows-dll := $(windows_flags) -DKM_BUILDING_DLL $(CPPFLAGS) $(CFLAGS)

cxx_native := $(CXX)
cxx_asan   := $(CXX)
cxx_tsan   := $(CXX)
cxx_fuzz   := $(FUZZ_CC)++
cxx_lint-gcc   := g++
cxx_lint-clang := clang++
cxx_lint-windows := $(WINDOWS_CXX)
cxx_windows     := $(WINDOWS_CXX)
cxx_windows-dll := $(WINDOWS_CXX)

link_native  := -pthread $(LDFLAGS) $(codec_libs_native)
link_asan    := -pthread $(asan) $(LDFLAGS) $(codec_libs_native)
link_tsan    := -pthread $(tsan) $(LDFLAGS) $(codec_libs_native)
link_fuzz    := -pthread $(subst fuzzer-no-link,fuzzer,$(fuzz_flags)) $(LDFLAGS) $(codec_libs_native)
link_windows := -static-libgcc $(LDFLAGS) $(codec_libs_windows)
link_windows-dll := $(link_windows)

lib_native  := $(BUILD)/libkeepmap.a
lib_asan    := $(BUILD)/asan/libkeepmap.a
lib_tsan    := $(BUILD)/tsan/libkeepmap.a
lib_windows := $(BUILD)/windows/libkeepmap.a

tool_native  := $(BUILD)/keepmap
tool_asan    := $(BUILD)/asan/keepmap
tool_tsan    := $(BUILD)/tsan/keepmap
tool_windows := $(BUILD)/windows/keepmap.exe

cmocka := $(BUILD)/deps/cmocka-1.1.5
cmocka_windows := $(BUILD)/windows/cmocka/libcmocka.a

native_flavours  := native asan tsan fuzz lint-gcc lint-clang
windows_flavours := windows windows-dll lint-windows
flavours := $(native_flavours) $(windows_flavours)

# What some directories see besides. Examples and the programs in tests/compat are written for Windows: see
# include/keepmap/compat. The latter as people write them, with Visual C++'s pragmas and a DWORD printed as an int.
extra = $(if $(filter tests/%,$(1)),-Itests) \
    $(if $(filter examples/% tests/test_compat% tests/compat/%,$(1)),-Iinclude/keepmap/compat) \
    $(if $(filter tests/compat/%,$(1)),-Wno-unknown-pragmas -Wno-format)
$(foreach f,$(windows_flavours),$(eval extra_$(f) = $$(if $$(filter tests/%,$$(1)),-isystem $(cmocka)/include)))

# The sums are compiled once more for AVX2, which is asked for when they are called. Not for Windows: there GCC spills wide
# registers to a stack that it does not align for them (GCC bug 54412).
has_avx2 := $(filter x86_64-%,$(shell $(CC) -dumpmachine 2>/dev/null))
wide = $(if $(has_avx2),$(if $(filter src/checksum.c,$(1)),-DKM_WITH_AVX2=1) $(if $(filter src/checksum_wide.c,$(1)),-mavx2))
$(foreach f,$(native_flavours),$(eval extra_$(f) = $$(call wide,$$(1))))

objects = $(patsubst %.cpp,$(BUILD)/$(1)/obj/%.cpp.o,$(patsubst %.c,$(BUILD)/$(1)/obj/%.o,$(2)))

define compile
$(BUILD)/$(1)/obj/%.o: %.c $(BUILD)/$(1)/flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)$(cc_$(1)) $(flags_$(1)) $(werror) $$(call extra,$$<) $$(call extra_$(1),$$<) -MMD -MP -c -o $$@ $$<

$(BUILD)/$(1)/obj/%.cpp.o: %.cpp $(BUILD)/$(1)/flags
	@mkdir -p $$(@D)
	$$(call say,CXX,$$@)$(cxx_$(1)) $(subst -std=c11,-std=c++17,$(flags_$(1))) $(CXXFLAGS) $(werror) $$(call extra,$$<) -MMD -MP -c -o $$@ $$<

# Rewritten only when the words in it change, and with it everything compiled by them.
$(BUILD)/$(1)/flags: always
	@mkdir -p $$(@D)
	@echo '$(cc_$(1)) $(cxx_$(1)) $(flags_$(1)) $(CXXFLAGS) $(link_$(1))' | cmp -s - $$@ || \
	    echo '$(cc_$(1)) $(cxx_$(1)) $(flags_$(1)) $(CXXFLAGS) $(link_$(1))' >$$@
endef
$(foreach f,$(flavours),$(eval $(call compile,$(f))))
$(foreach f,$(flavours),$(eval $(call objects,$(f),src/checksum.c src/checksum_wide.c tests/test_checksum.c): $(xxhash)))

# Tests may need cmocka installed, or fetched, before they can be compiled. The cross compiler is installed for the goals
# that may install something; `make windows` takes the machine as it is.
windows_deps := $(filter-out deps-build,$(build_deps))
$(foreach f,$(native_flavours),$(eval $(call objects,$(f),$(suites) $(psuites) $(support) $(fault) $(stress)): | deps-test))
$(foreach f,$(windows_flavours),$(eval $(call objects,$(f),$(core_windows) $(windows) $(command_windows) $(suites) $(support_windows) $(examples) $(compat_programs)): | $(windows_deps)))
$(foreach f,$(windows_flavours),$(eval $(call objects,$(f),$(suites) $(support_windows)): | $(cmocka)/src/cmocka.c))

# ---- The library and the command -----------------------------------------------------------------

.PHONY: all windows always
all: $(BUILD)/libkeepmap.a $(BUILD)/libkeepmap.so $(BUILD)/keepmap ## the library, static and shared, and the command

windows: $(addprefix $(BUILD)/windows/,keepmap.dll libkeepmap.dll.a libkeepmap.a keepmap.exe) ## the same for Windows

define native_library
$(lib_$(1)): $(call objects,$(1),$(core_native) $(posix))
	@rm -f $$@
	$$(call say,AR,$$@)$(AR) rcs $$@ $$^

$(tool_$(1)): $(call objects,$(1),$(command)) $(lib_$(1))
	$$(call say,LINK,$$@)$(cc_$(1)) $(CFLAGS) -o $$@ $$^ $(link_$(1))
endef
$(foreach f,native asan tsan,$(eval $(call native_library,$(f))))

$(BUILD)/libkeepmap.so.$(VERSION): $(call objects,native,$(core_native) $(posix)) src/keepmap.map
	$(call say,LINK,$@)$(CC) $(CFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=src/keepmap.map -Wl,-z,defs \
	    -o $@ $(filter %.o,$^) $(link_native)

$(BUILD)/$(SONAME) $(BUILD)/libkeepmap.so: $(BUILD)/libkeepmap.so.$(VERSION)
	@ln -sf $(notdir $<) $@
$(BUILD)/libkeepmap.so: $(BUILD)/$(SONAME)

$(lib_windows): $(call objects,windows,$(core_windows) $(windows))
	@rm -f $@
	$(call say,AR,$@)$(WINDOWS_AR) rcs $@ $^

$(tool_windows): $(call objects,windows,$(command_windows)) $(lib_windows)
	$(call say,LINK,$@)$(WINDOWS_CC) $(CFLAGS) -o $@ $^ $(link_windows)

# Only what KM_API marks is exported.
$(BUILD)/windows/keepmap.dll: $(call objects,windows-dll,$(core_windows) $(windows))
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(WINDOWS_CC) $(CFLAGS) -shared -Wl,--exclude-all-symbols -Wl,--out-implib,$(BUILD)/windows/libkeepmap.dll.a \
	    -o $@ $^ $(link_windows)
$(BUILD)/windows/libkeepmap.dll.a: $(BUILD)/windows/keepmap.dll

# ---- Examples, and Windows programs as they stand ------------------------------------------------

# Named after their files, X.cpp's program being X_cpp: in examples/ and compat/ beside the flavour's command.
program_of = $(dir $(tool_$(1)))$(2)/$(subst .cpp,_cpp,$(patsubst %.c,%,$(notdir $(3))))$(if $(filter windows,$(1)),.exe)
example_programs = $(foreach e,$(examples),$(call program_of,$(1),examples,$(e)))
all_programs = $(call example_programs,$(1)) $(foreach p,$(compat_programs),$(call program_of,$(1),compat,$(p)))

define one_program
$(call program_of,$(1),$(2),$(3)): $(call objects,$(1),$(3)) $(lib_$(1))
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)$(if $(filter %.cpp,$(3)),$(cxx_$(1)),$(cc_$(1))) $(CFLAGS) -o $$@ $$^ $(link_$(1)) $(if $(filter windows,$(1)),-static)
endef
$(foreach f,native asan tsan windows,$(foreach e,$(examples),$(eval $(call one_program,$(f),examples,$(e)))))
$(foreach f,native asan tsan windows,$(foreach p,$(compat_programs),$(eval $(call one_program,$(f),compat,$(p)))))

.PHONY: examples examples-windows
examples: $(call example_programs,native) ## the example programs, in BUILD/examples
examples-windows: $(call example_programs,windows) ## the same for Windows, in BUILD/windows/examples

# ---- Demo and tests ------------------------------------------------------------------------------

.PHONY: demo test test-windows asan tsan valgrind stress bench test-programs test-codecs test-marked
demo: $(BUILD)/examples/demo ## builds the library and shows its main job on a real file
	@mkdir -p $(BUILD)/demo
	@$< $(BUILD)/demo "$$($(CC) -print-prog-name=cc1)" "$$($(CC) -print-prog-name=clang)"

# A suite is one program: its file, tests/support, the library. Under the flavour: build/FLAVOUR/tests/...
programs = $(patsubst %.c,$(BUILD)/$(1)/%$(3),$(2))
fault_suites := $(filter tests/posix/test_fault_%,$(psuites))

define native_programs
$(call programs,$(1),$(suites) $(psuites) $(stress)): $(BUILD)/$(1)/%: \
    $(BUILD)/$(1)/obj/%.o $(call objects,$(1),$(support)) $(lib_$(1)) | deps-test
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)$(cc_$(1)) $(CFLAGS) $$(program_flags) -o $$@ $$^ $(link_$(1)) -lcmocka

$(call programs,$(1),$(fault_suites)): $(call objects,$(1),$(fault))
$(call programs,$(1),$(fault_suites)): program_flags := $(addprefix -Wl$(comma)--wrap=,$(wrapped))
endef
$(foreach f,native asan tsan,$(eval $(call native_programs,$(f))))

$(call programs,windows,$(suites),.exe): $(BUILD)/windows/%.exe: \
    $(BUILD)/windows/obj/%.o $(call objects,windows,$(support_windows)) $(lib_windows) $(cmocka_windows)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(WINDOWS_CC) $(CFLAGS) -o $@ $^ $(link_windows)

# A suite that cannot run in a flavour says so, and why, in a comment: "Not under valgrind: ...".
able = $(filter-out $(if $(2),$(shell grep -l 'Not under $(1):' $(2))),$(2))
run = tests/run -d $(BUILD)/$(1)
native_suites := $(suites) $(psuites)
asan_options := detect_leaks=1:detect_stack_use_after_return=1:handle_segv=0:handle_sigbus=0
# Address space layout with much entropy is more than the sanitizers of older compilers can stand.
steady := $(if $(shell setarch -R true 2>/dev/null && echo yes),setarch -R)

test: $(call programs,native,$(native_suites)) $(BUILD)/keepmap $(call all_programs,native) ## all native suites, in parallel
	@$(call run,native) -k $(BUILD)/keepmap $(filter $(BUILD)/native/%,$^)

asan: $(call programs,asan,$(call able,asan,$(native_suites))) $(tool_asan) $(call all_programs,asan) ## the suites under ASan and UBSan
	@ASAN_OPTIONS=$(asan_options) UBSAN_OPTIONS=print_stacktrace=1 \
	    $(call run,asan) -k $(tool_asan) -t 300 -l "$(steady)" $(filter $(BUILD)/asan/tests/%,$^)

tsan: $(call programs,tsan,$(call able,tsan,$(native_suites))) $(tool_tsan) $(call all_programs,tsan) ## the suites under ThreadSanitizer
	@TSAN_OPTIONS=handle_segv=0:handle_sigbus=0 \
	    $(call run,tsan) -k $(tool_tsan) -t 300 -l "$(steady)" $(filter $(BUILD)/tsan/tests/%,$^)

valgrind: $(call programs,native,$(call able,valgrind,$(native_suites))) $(BUILD)/keepmap $(call all_programs,native) | deps-valgrind ## the suites under memcheck
	@$(call run,valgrind) -k $(BUILD)/keepmap -t 100 \
	    -l "valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,possible --suppressions=$(CURDIR)/tests/valgrind.supp" \
	    $(filter $(BUILD)/native/%,$^)

stress: $(call programs,native,$(stress)) $(BUILD)/keepmap ## long runs
	@$(call run,stress) -k $(BUILD)/keepmap -t 1800 -x $(filter $(BUILD)/native/%,$^)

test-windows: $(call programs,windows,$(suites),.exe) $(tool_windows) $(BUILD)/windows/keepmap.dll $(call all_programs,windows) | deps-windows ## the suites under Wine
	@WINEPREFIX=$(BUILD)/wine-prefix tests/wine --with $(call run,windows) -k 'Z:$(subst /,\,$(tool_windows))' \
	    -l $(CURDIR)/tests/wine $(filter %.exe,$(filter $(BUILD)/windows/tests/%,$^))

# The suites whose comment says "With other codecs:" once more, with zlib alone and with nothing that packs.
test-codecs: ## some suites again, without the fast compression libraries and without any
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/zlib-alone WITH_ZLIB=1 WITH_ISAL=0 WITH_LIBDEFLATE=0 test-marked
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/no-codecs WITH_ZLIB=0 WITH_ISAL=0 WITH_LIBDEFLATE=0 test-marked

marked = $(shell grep -l 'With other codecs:' $(native_suites))
test-marked: $(call programs,native,$(marked)) $(BUILD)/keepmap
	@$(call run,native) -k $(BUILD)/keepmap $(filter $(BUILD)/native/%,$^)

test-programs: $(call programs,native,$(native_suites) $(stress)) ## builds the native suites without running them

# cmocka for Windows, from Debian's source package; strict warnings are for our own code.
$(cmocka)/src/cmocka.c: | deps-windows
	tools/fetch-cmocka $(BUILD)/deps
	@test -f $@

$(cmocka_windows): $(cmocka)/src/cmocka.c
	@mkdir -p $(@D)
	$(call say,CC,$@)$(WINDOWS_CC) -O2 -g -w -I$(cmocka)/include -DHAVE_MALLOC_H -DHAVE_INTTYPES_H -DHAVE_SIGNAL_H -DHAVE_STRINGS_H \
	    -D__USE_MINGW_ANSI_STDIO=1 -DPRIdS='"zd"' -c -o $(@D)/cmocka.o $<
	@rm -f $@
	@$(WINDOWS_AR) rcs $@ $(@D)/cmocka.o

# ---- Fuzzing -------------------------------------------------------------------------------------

# A fuzzer is one program, the whole library compiled in by clang; see tests/fuzz/run for where its findings go.
fuzz_programs := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(fuzzers))
fuzz_seeds := $(BUILD)/fuzz/seeds
seed_maker := $(BUILD)/native/tests/fuzz/make_seeds

.PHONY: fuzz fuzz-short fuzz-keep
fuzz: $(fuzz_programs) $(fuzz_seeds)/made ## fuzzes what reads snapshots, FUZZ_SECONDS (600) a target
	@ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 $(steady) tests/fuzz/run $(FUZZ_SECONDS) $(JOBS) $(BUILD)/fuzz $(fuzz_seeds) $(fuzz_programs)

fuzz-short: FUZZ_SECONDS := 10
fuzz-short: fuzz ## the same, 10 seconds a target

fuzz-keep: $(fuzz_programs) ## adds to tests/fuzz/corpus what fuzzing has found
	@$(steady) tests/fuzz/keep $(BUILD)/fuzz $(fuzz_programs)

$(fuzz_programs): $(BUILD)/fuzz/%: $(BUILD)/fuzz/obj/tests/fuzz/%.o $(call objects,fuzz,$(fuzz_support) $(core_native) $(posix))
	$(call say,LINK,$@)$(FUZZ_CC) -o $@ $^ $(link_fuzz)
$(call objects,fuzz,$(fuzzers) $(fuzz_support) $(core_native) $(posix)): | deps-fuzz

$(seed_maker): $(call objects,native,tests/fuzz/make_seeds.c $(filter-out tests/fuzz/mutate.c,$(fuzz_support)) tests/support/snapshot_builder.c) $(lib_native)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CFLAGS) -o $@ $^ $(link_native) -lcmocka

$(fuzz_seeds)/made: $(seed_maker)
	@rm -rf $(@D) && mkdir -p $(@D)/snapshots $(@D)/chunks && $< $(@D) && touch $@

# ---- Benches: ours and the peers', in one run ----------------------------------------------------

bench_programs := $(patsubst tests/bench/%,$(BUILD)/bench/%,$(basename $(benches)))
bench_objects  := $(patsubst tests/bench/%,$(BUILD)/bench/obj/%.o,$(benches) $(bench_support))
bench_peers    := -isystem /usr/include/apr-1.0

# A target missed is told and is no failure: a busy machine misses them. The benches make their files in scratch.
bench: $(bench_programs) ## measures keepmap beside its peers, in one run
	@rm -rf $(BUILD)/bench/scratch && mkdir -p $(BUILD)/bench/scratch && cd $(BUILD)/bench/scratch || exit 1; failed=; \
	    for program in $(bench_programs); do $$program || failed="$$failed $$program"; done; \
	    cd $(BUILD) && rm -rf bench/scratch; test -z "$$failed" || { echo "bench: could not measure:$$failed"; exit 1; }

$(BUILD)/bench/obj/%.c.o: tests/bench/%.c $(BUILD)/native/flags | deps-bench
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) $(flags_native) $(werror) -Itests $(bench_peers) -MMD -MP -c -o $@ $<

$(BUILD)/bench/obj/%.cpp.o: tests/bench/%.cpp $(BUILD)/native/flags | deps-bench
	@mkdir -p $(@D)
	$(call say,CXX,$@)$(CXX) -std=c++17 -Wall -Wextra $(CPPFLAGS) $(CFLAGS) $(CXXFLAGS) -pthread -Iinclude -Itests $(bench_peers) \
	    -MMD -MP -c -o $@ $<

$(foreach b,$(benches),$(eval $(BUILD)/bench/$(notdir $(basename $(b))): $(BUILD)/bench/obj/$(notdir $(b)).o))
$(bench_programs): $(patsubst tests/bench/%,$(BUILD)/bench/obj/%.o,$(bench_support)) $(lib_native)
	$(call say,LINK,$@)$(CXX) $(CFLAGS) -o $@ $(filter %.o,$^) $(lib_native) $(link_native) -Wl,--as-needed -lapr-1 -lrt

.PHONY: bench-snapshot
bench-snapshot: $(BUILD)/bench/bench_snapshot ## measures snapshots beside gzip, pigz, zstd, cp and others: minutes
	@rm -rf $(BUILD)/bench/snapshots && mkdir -p $(BUILD)/bench/snapshots && cd $(BUILD)/bench/snapshots && $<; \
	    result=$$?; cd $(BUILD) && rm -rf bench/snapshots; exit $$result

$(BUILD)/bench/bench_snapshot: $(call objects,native,$(snapshot_bench) tests/bench/measure.c) $(lib_native)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CFLAGS) -o $@ $^ $(link_native) -llmdb
$(call objects,native,$(snapshot_bench)): | deps-bench-snapshot

# The same lines beside Wine: a Windows program does what a native one tells it, and is measured by.
wine_bench  := $(BUILD)/bench/beside_wine
wine_worker := $(BUILD)/windows/bench/named_worker.exe

.PHONY: bench-wine
bench-wine: $(wine_bench) $(wine_worker) ## measures named sections beside Wine
	@WINEPREFIX=$(BUILD)/wine-prefix tests/wine --with $(wine_bench) $(CURDIR)/tests/wine $(wine_worker)

$(wine_bench): $(call objects,native,tests/bench/wine/beside_wine.c tests/bench/measure.c) $(lib_native)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CFLAGS) -o $@ $^ $(link_native)

$(call objects,windows,tests/bench/wine/named_worker.c): | deps-windows
$(wine_worker): $(call objects,windows,tests/bench/wine/named_worker.c)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(WINDOWS_CC) $(CFLAGS) -o $@ $^ $(link_windows)

# ---- Style and soundness -------------------------------------------------------------------------

posix_checked := $(core_native) $(posix) $(command) $(filter %.c,$(examples)) $(support) $(fault) $(suites) $(psuites) $(stress) $(wildcard tests/fuzz/*.c)
windows_checked := $(core_windows) $(windows) $(command_windows) $(support_windows) $(suites)
windows_only := $(filter-out $(posix_checked),$(windows_checked))
c_files := $(sort $(codec_files) $(posix_checked)) $(windows_only) $(wildcard tests/bench/*.c tests/bench/wine/*.c) $(filter %.cpp,$(examples)) $(compat_programs)
# Compiled by all compilers, but not looked at by clang-tidy.
untidy := $(filter %.cpp,$(examples)) $(compat_programs)

.PHONY: lint lint-format lint-compile lint-tidy lint-headers lint-exports lint-shell lint-portable format
lint: lint-format lint-compile lint-tidy lint-headers lint-exports lint-shell lint-portable ## every check below
	@echo "lint: clean"

lint-format: | deps-lint ## are the C files formatted?
	clang-format --dry-run -Werror $(c_files) $(all_headers)

# With WERROR=1 what is built to be run has passed the same test: in CI it is not compiled a second time.
gcc_passes     := $(if $(and $(filter 1,$(WERROR)),$(filter gcc cc,$(CC))),native,lint-gcc)
windows_passes := $(if $(filter 1,$(WERROR)),windows,lint-windows)
lint-compile: $(call objects,$(gcc_passes),$(posix_checked) $(untidy)) $(call objects,lint-clang,$(untidy)) $(call objects,$(windows_passes),$(windows_checked) $(examples) $(compat_programs)) ## gcc, clang and MinGW, warnings as errors
$(foreach f,lint-gcc lint-clang,$(eval $(call objects,$(f),$(posix_checked) $(untidy)): | deps-lint))

# The analyzer follows paths until it has seen so many states of a function: a third of what it would by itself, in a
# third of the time. `make lint-tidy TIDY_STATES=225000` is that.
TIDY_STATES ?= 75000
tidy_states := -Xclang -analyzer-config -Xclang max-nodes=$(TIDY_STATES)

# clang's own object comes first: it knows when the file or one of its headers has changed.
lint-tidy: $(patsubst %.c,$(BUILD)/lint-clang/tidy/%,$(posix_checked)) $(patsubst %.c,$(BUILD)/lint-windows/tidy/%,$(windows_only)) ## clang-tidy
$(BUILD)/lint-clang/tidy/%: $(BUILD)/lint-clang/obj/%.o .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$*.c)clang-tidy --quiet $*.c -- $(posix_flags) $(call extra,$*.c) $(call extra_lint-clang,$*.c) $(tidy_states) 2>$@.log || { cat $@.log >&2; exit 1; }
	@touch $@

$(BUILD)/lint-windows/tidy/%: $(BUILD)/lint-windows/obj/%.o .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$*.c)clang-tidy --quiet $*.c -- --target=x86_64-w64-mingw32 $(windows_flags) $(call extra,$*.c) $(call extra_lint-windows,$*.c) $(tidy_states) 2>$@.log || { cat $@.log >&2; exit 1; }
	@touch $@

strict := -Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only
lint-headers: | deps-lint ## does each public header compile alone, in old and new C and C++?
	@set -e; for header in $(headers:include/%=%); do echo "alone: $$header"; \
	    for compiler in "gcc -std=c11 -x c" "clang -std=c17 -x c" "g++ -std=c++11 -x c++" "clang++ -std=c++20 -x c++"; do \
	        echo "#include <$$header>" | $$compiler $(strict) -Iinclude -; \
	    done; done
	@set -e; for header in $(filter-out keepmap/compat/%,$(headers:include/%=%)); do \
	    echo "#include <$$header>" | $(WINDOWS_CC) -std=c11 -x c $(strict) -Iinclude -; \
	    done

lint-exports: $(BUILD)/libkeepmap.so $(BUILD)/windows/keepmap.dll ## are the exported names the declared ones?
	tools/check-exports $^

lint-shell: | deps-lint ## the shell scripts
	shellcheck $(scripts)

lint-portable: ## no system conditionals in the core
	@! grep -nE '_WIN32|__linux__|__unix__|__APPLE__' $(wildcard src/*.c src/*.h) /dev/null

format: | deps-lint ## formats the C files
	clang-format -i $(c_files) $(all_headers)

# ---- Installing ----------------------------------------------------------------------------------

INSTALL ?= install
man_dir = $(PREFIX)/share/man/man$(subst .,,$(suffix $(1)))
public_headers := $(headers:include/%=%)
pc_files := $(patsubst tools/packaging/%.in,$(BUILD)/%,$(wildcard tools/packaging/*.pc.in))

.PHONY: install uninstall
install: all $(pc_files) ## library, headers, command, manual pages, pkg-config file under DESTDIR/PREFIX
	$(INSTALL) -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/bin
	$(INSTALL) -m 644 $(BUILD)/libkeepmap.a $(DESTDIR)$(LIBDIR)/
	$(INSTALL) -m 755 $(BUILD)/libkeepmap.so.$(VERSION) $(DESTDIR)$(LIBDIR)/
	ln -sf libkeepmap.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libkeepmap.so
	$(INSTALL) -m 755 $(BUILD)/keepmap $(DESTDIR)$(PREFIX)/bin/
	$(INSTALL) -m 644 $(pc_files) $(DESTDIR)$(LIBDIR)/pkgconfig/
	$(foreach h,$(public_headers),$(INSTALL) -D -m 644 include/$(h) $(DESTDIR)$(PREFIX)/include/$(h) &&) true
	$(foreach m,$(man),$(INSTALL) -D -m 644 $(m) $(DESTDIR)$(call man_dir,$(m))/$(notdir $(m)) &&) true

uninstall: ## removes what install put there
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libkeepmap.a libkeepmap.so $(SONAME) libkeepmap.so.$(VERSION) $(addprefix pkgconfig/,$(notdir $(pc_files))))
	rm -f $(DESTDIR)$(PREFIX)/bin/keepmap $(addprefix $(DESTDIR)$(PREFIX)/include/,$(public_headers))
	rm -f $(foreach m,$(man),$(DESTDIR)$(call man_dir,$(m))/$(notdir $(m)))
	rmdir $(DESTDIR)$(PREFIX)/include/keepmap/compat $(DESTDIR)$(PREFIX)/include/keepmap 2>/dev/null || true

$(pc_files): $(BUILD)/%.pc: tools/packaging/%.pc.in include/keepmap.h always
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(strip $(codec_libs_native))|' $< >$@

# ---- The rest ------------------------------------------------------------------------------------

deps_groups := build test windows valgrind lint bench bench-snapshot fuzz
.PHONY: clean help $(addprefix deps-,$(deps_groups))
$(addprefix deps-,$(deps_groups)): deps-%:
	@tools/install-deps $*

clean: ## removes everything made
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 18
	@sed -n '/^# To set:/,/^$$/s/^# \{0,1\}//p' Makefile

-include $(foreach f,$(flavours) bench,$(shell find $(BUILD)/$(f)/obj -name '*.d' 2>/dev/null))
