# The one entry: builds with cargo, installs what ./configure chose. GNU make.
#
#   make            build everything, optimised          make run       a private server to try, on port 1143
#   make check      format, lints, tests, manual pages   make deps      install what the build and tests need
#   make install    programs, scripts, manuals, .dist    make bench     compare with the peers
#   make install-configure  merge .dist into live files  make check-interop  mix with Debian's Courier programs
#   make uninstall  remove what install put there        make dist      source archive
#
# DESTDIR is honoured by install, install-strip, install-configure and uninstall.

SHELL = /bin/sh
.SUFFIXES:

source := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
CONFIG = config.mk
PORT = 1143

.PHONY: all check install install-strip install-configure uninstall deps run bench check-interop clean dist help
.PHONY: check-format check-lints check-tests check-linkage check-install check-manuals check-scripts
all:

help:
	@sed -n 's/^# \{0,1\}//; 1,/^$$/p' $(firstword $(MAKEFILE_LIST))

# Without a ./configure of your own you get its defaults.
config.mk:
	$(source)/configure
-include $(CONFIG)

version := $(shell sed -n 's/^version = "\(.*\)"/\1/p' $(source)/Cargo.toml | head -n 1)

# ---- building ------------------------------------------------------------------------------------------------

# PROFILE: release, or dev, or linkcheck; cargo calls the directory of dev "debug".
PROFILE = release
TARGET = $(or $(CARGO_TARGET_DIR),target)
BUILT = $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))

# Looked up when first used: "make install" after "make" needs no compiler, so that root needs none.
CARGO = $(eval CARGO := $$(shell packaging/find-cargo.sh))$(CARGO)
# src/config/paths.rs reads these while it is compiled.
PATHS = \
	COURIER_CONFIG_PREFIX='$(prefix)' \
	COURIER_CONFIG_BINDIR='$(bindir)' \
	COURIER_CONFIG_SBINDIR='$(sbindir)' \
	COURIER_CONFIG_LIBEXECDIR='$(libexecdir)' \
	COURIER_CONFIG_SYSCONFDIR='$(sysconfdir)' \
	COURIER_CONFIG_DATADIR='$(datadir)' \
	COURIER_CONFIG_LOCALSTATEDIR='$(localstatedir)' \
	COURIER_CONFIG_PIDDIR='$(piddir)' \
	COURIER_CONFIG_USERDB='$(userdb)' \
	COURIER_CONFIG_AUTHDAEMONVAR='$(authdaemonvar)' \
	COURIER_CONFIG_AUTHDAEMONRC='$(authdaemonrc)' \
	COURIER_CONFIG_MAILUSER='$(mailuser)' \
	COURIER_CONFIG_MAILGROUP='$(mailgroup)' \
	COURIER_CONFIG_IPV6='$(ipv6)'
# The directory of the chosen cargo leads PATH: it finds its own rustc, rustfmt and clippy there.
RUN_CARGO = test -n '$(CARGO)' || exit 1; PATH='$(dir $(CARGO))':"$$PATH" $(PATHS) '$(CARGO)'

SOURCES := $(shell find $(source) \( -name target -o -name .git -o -name run -o -name fuzz \) -prune -o \
	\( -name '*.rs' -o -name Cargo.toml -o -name Cargo.lock \) -print)

all: $(BUILT)/.built

$(BUILT)/.built: $(CONFIG) $(SOURCES)
	$(RUN_CARGO) build --locked --profile $(PROFILE)
	@touch $@

# ---- checking ------------------------------------------------------------------------------------------------

check: deps
	@$(MAKE) --no-print-directory check-format check-lints check-tests check-linkage check-manuals check-scripts
	@echo "check: all passed"

check-format:
	@echo "check: format"
	@$(RUN_CARGO) fmt --all --check

# Warnings are errors with the compilers the project is developed with; a newer one may know new lints.
check-lints:
	@echo "check: lints"
	@$(RUN_CARGO) clippy --locked --workspace --all-targets --quiet -- \
		$$(case $$('$(CARGO)' clippy --version) in *' 0.1.8'?' '* | *' 0.1.9'[0-6]' '*) echo -D warnings ;; esac)

# The tests start real programs; those of this build lie in one directory.
check-tests:
	@echo "check: tests"
	@$(RUN_CARGO) build --locked --workspace --bins
	@COURIER_BINDIR='$(abspath $(TARGET))/debug' && export COURIER_BINDIR; \
		$(RUN_CARGO) test --locked --workspace --quiet

check-linkage:
	@echo "check: what each program links"
	@$(RUN_CARGO) build --locked --profile linkcheck --bins
	@COURIER_LINKCHECK='$(abspath $(TARGET))/linkcheck' && export COURIER_LINKCHECK; \
		$(RUN_CARGO) test --locked --quiet --test linkage

check-manuals:
	@echo "check: manual pages"
	@set -e; for page in $(source)/man/*.[1-8]; do \
		[ ! -e "$$page" ] || mandoc -Tlint -W warning "$$page"; done

SCRIPTS = configure packaging/*.sh rc-scripts/*.in tests/*.sh
check-scripts:
	@echo "check: shell scripts"
	@set -e; for script in $(SCRIPTS); do [ ! -e "$$script" ] || \
		for shell in sh dash 'busybox sh'; do \
			command -v $${shell%% *} >/dev/null || continue; $$shell -n "$$script"; done; done

deps:
	@packaging/deps.sh

clean:
	rm -rf target config.mk config.mk.new
