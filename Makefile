# The one entry: builds with cargo, installs what ./configure chose. GNU make.
#
#   make            build everything, optimised          make run       a private server to try, on port 1143
#   make check      format, lints, tests, manual pages   make deps      install what the build and tests need
#   make install    programs, scripts, manuals, .dist    make bench     compare with the peers
#   make install-configure  merge .dist into live files  make check-interop  mix with Debian's Courier programs
#   make uninstall  remove what install put there        make dist      source archive
#   make fuzz TARGET=NAME SECONDS=N   a parser upon hostile input    make soak SECONDS=N   two hosts, faults, signals
#
# DESTDIR is honoured by install, install-strip, install-configure and uninstall.

SHELL = /bin/sh
.SUFFIXES:

source := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
CONFIG = config.mk
PORT = 1143

.PHONY: all check install install-strip install-configure uninstall deps deps-run run bench check-interop clean dist help
.PHONY: fuzz fuzz-smoke soak
.PHONY: check-format check-lints check-tests check-run check-linkage check-install check-manuals check-scripts
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
# "make fuzz TARGET=NAME" names a parser; where cargo builds is said by CARGO_TARGET_DIR.
fuzz_target := $(TARGET)
override TARGET = $(or $(CARGO_TARGET_DIR),target)
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

# These are started for every connection and need no library but libc. Where its archive is installed they take it
# with them, which saves each start the loader's work; STATIC=no prevents it. (Programs of the dev profile stay as
# cargo makes them.)
STATIC_PROGRAMS = imapd/imapd imapd/imaplogin pop3d/pop3d pop3d/pop3login
STATIC = $(if $(and $(filter-out dev,$(PROFILE)),$(wildcard $(shell cc -print-file-name=libc.a))),yes,no)
OTHER_PACKAGES = courier couriertcpd couriertlsd authdaemond

# What comes before login needs only the plainest part of a C library (couriertls names a library of its package, of
# which it takes nothing; that is known only to the link-time optimisation of "release"). glibc asks the processor for its abilities
# whenever a program begins, 43 instructions that each trap to the hypervisor of a virtual machine, a seventh of what
# a login costs there; musl does not. A compiler with a musl target brings all of it along (rustup has one, the
# packages of distributions do not); MUSL=no prevents it.
MUSL_PROGRAMS = imapd/imaplogin pop3d/pop3login \
	$(if $(filter release,$(PROFILE)),$(if $(wildcard $(shell cc -print-file-name=libgdbm.a)),couriertcpd/couriertls))
MUSL = $(if $(filter-out dev,$(PROFILE)),$(eval MUSL := $$(shell packaging/musl-target.sh '$(CARGO)'))$(MUSL),no)
MUSL_TARGET = $(filter-out no,$(MUSL))

$(BUILT)/.built: $(CONFIG) $(SOURCES)
	$(RUN_CARGO) build --locked --profile $(PROFILE) $(if $(filter yes,$(STATIC)),$(addprefix --package ,$(OTHER_PACKAGES)))
	@set -e; for program in $(filter-out $(if $(MUSL_TARGET),$(MUSL_PROGRAMS)),$(if $(filter yes,$(STATIC)),$(STATIC_PROGRAMS))); do \
		$(RUN_CARGO) rustc --locked --profile $(PROFILE) --package $${program%/*} --bin $${program#*/} \
			-- -C target-feature=+crt-static; done
	@set -e; for program in $(if $(MUSL_TARGET),$(MUSL_PROGRAMS)); do \
		$(RUN_CARGO) build --locked --profile $(PROFILE) --target $(MUSL_TARGET) \
			--package $${program%/*} --bin $${program#*/}; \
		cp -p $(TARGET)/$(MUSL_TARGET)/$(notdir $(BUILT))/$${program#*/} $(BUILT)/new; \
		mv $(BUILT)/new $(BUILT)/$${program#*/}; done
	@touch $@

# ---- checking ------------------------------------------------------------------------------------------------

check: deps
	@$(MAKE) --no-print-directory check-format check-lints check-tests fuzz-smoke check-run check-install check-manuals check-scripts
	@echo "check: all passed"

check-format:
	@echo "check: format"
	@$(RUN_CARGO) fmt --all --check

# Warnings are errors with the compilers the project is developed with. Others, older and newer, have other
# opinions: theirs are shown.
check-lints:
	@echo "check: lints"
	@$(RUN_CARGO) clippy --locked --workspace --all-targets --quiet -- \
		$$(case $$('$(CARGO)' clippy --version) in *' 0.1.9'[56]*) echo -D warnings ;; *) echo --cap-lints warn ;; esac)

# The tests start real programs; those of this build lie in one directory.
check-tests:
	@echo "check: tests"
	@$(RUN_CARGO) build --locked --workspace --bins
	@COURIER_BINDIR='$(abspath $(TARGET))/debug' && export COURIER_BINDIR; \
		$(RUN_CARGO) test --locked --workspace --quiet

# Every parser of foreign bytes upon its seeds and some thousands of mutations, in FUZZ_SECONDS altogether, each in a
# process with little memory. Built apart from the rest: optimised, with overflow checks.
FUZZ_SECONDS = 25
FUZZ = export CARGO_TARGET_DIR='$(abspath $(TARGET))/fuzz'; cd '$(source)/fuzz'
fuzz-smoke:
	@echo "check: fuzz targets"
	@$(FUZZ); $(RUN_CARGO) fmt --check
	@$(FUZZ); $(RUN_CARGO) build --quiet --release --no-default-features --bin smoke
	@'$(abspath $(TARGET))/fuzz/release/smoke' $(FUZZ_SECONDS)

# libFuzzer upon one parser. It needs a C++ compiler, and neither a nightly toolchain nor cargo-fuzz: these are the
# flags that cargo-fuzz gives to the compiler. What it learns stays in fuzz/corpus, what it finds in fuzz/artifacts.
fuzz fuzz-smoke soak: export RUST_BACKTRACE = 0
SECONDS = $(if $(filter soak,$(MAKECMDGOALS)),3600,60)
COVERAGE = --cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares
fuzz:
	@test -n '$(fuzz_target)' || { echo "make fuzz TARGET=NAME, one of:" \
		$(sort $(basename $(notdir $(wildcard $(source)/fuzz/fuzz_targets/*.rs)))) >&2; exit 2; }
	@$(FUZZ); host=$$(rustc -vV | sed -n 's/^host: //p'); mkdir -p corpus/$(fuzz_target) artifacts && \
		export RUSTFLAGS='$(COVERAGE)' && { $(RUN_CARGO) build --quiet --release --target $$host \
			--bin '$(fuzz_target)'; } && \
		"$$CARGO_TARGET_DIR/$$host/release/$(fuzz_target)" -max_total_time=$(SECONDS) -timeout=8 -rss_limit_mb=1024 \
			-max_len=65536 -artifact_prefix=artifacts/$(fuzz_target)- \
			corpus/$(fuzz_target) $$(ls -d seeds/$(fuzz_target) 2>/dev/null) \
			$(if $(filter mime,$(fuzz_target)),../tests/corpus)

# Random sessions on two hosts over a network file system that misbehaves, and on one disk, some of them stopped for
# longer than their locks live or killed, for SECONDS altogether. SOAK_SEED repeats a run.
soak: deps
	@$(RUN_CARGO) build --locked --workspace --bins
	@COURIER_BINDIR='$(abspath $(TARGET))/debug' SOAK_SECONDS=$$(( ($(SECONDS) + 3) / 4 )); \
		export COURIER_BINDIR SOAK_SECONDS; \
		$(RUN_CARGO) test --locked --quiet --package netfs --test soak -- --test-threads 1

# Configured for a prefix of its own, which tests/install.sh fills. Release without LTO: what a program links is the
# same as in the real thing, but it is built in a minute.
CHECK_ROOT := /var/tmp/courier-check-$(shell id -u)-$(firstword $(shell pwd | cksum))
check-linkage:
	@echo "check: what each program links"
	@mkdir -p $(TARGET)/check && cd $(TARGET)/check && '$(source)/configure' --prefix=$(CHECK_ROOT)/prefix \
		--with-userdb=$(CHECK_ROOT)/prefix/etc/authlib/userdb >configure.log
	@$(MAKE) --no-print-directory CONFIG=$(TARGET)/check/config.mk PROFILE=linkcheck all
	@COURIER_LINKCHECK='$(abspath $(TARGET))/linkcheck' COURIER_STATIC='$(STATIC)' && \
		export COURIER_LINKCHECK COURIER_STATIC; \
		$(RUN_CARGO) test --locked --quiet --test linkage

check-install: check-linkage
	@echo "check: installation"
	@$(source)/tests/install.sh $(CHECK_ROOT) $(TARGET)/check/config.mk linkcheck

check-run: check-tests
	@echo "check: make run"
	@$(source)/tests/run.sh '$(abspath $(TARGET))/debug'

check-manuals:
	@echo "check: manual pages"
	@set -e; for page in $(source)/man/*.[1-8]; do \
		[ ! -e "$$page" ] || mandoc -Tlint -W warning "$$page"; done

SCRIPTS = configure packaging/*.sh rc-scripts/*.in tests/*.sh tests/*/*.sh .ci/run
check-scripts:
	@echo "check: shell scripts"
	@set -e; for script in $(SCRIPTS); do [ ! -e "$$script" ] || \
		for shell in $$(head -n 1 "$$script" | grep -q bash && echo bash || echo sh dash 'busybox'); do \
			command -v $$shell >/dev/null || continue; [ $$shell != busybox ] || shell='busybox sh'; \
			$$shell -n "$$script"; done; done

deps:
	@packaging/deps.sh

deps-run:
	@packaging/deps.sh run

# ---- installing ----------------------------------------------------------------------------------------------

BIN_PROGRAMS = courierauthconfig imapd pop3d maildirmake maildiracl deliverquota makedat makeimapaccess couriertls
SBIN_PROGRAMS = imaplogin pop3login courierlogger courierwho sysconftool maildircheck \
	userdb makeuserdb userdbpw pw2userdb authtest authenumerate authpasswd
LIBEXEC_PROGRAMS = couriertcpd couriertlsd makedatprog systemhost systemuser
RC_SCRIPTS = imapd.rc imapd-ssl.rc pop3d.rc pop3d-ssl.rc
DATA_SCRIPTS = mkimapdcert mkpop3dcert mkdhparams
UNITS = courier-authdaemond courier-imap courier-imapd courier-imapd-ssl courier-pop3d courier-pop3d-ssl \
	courier-socket@ courier-imap-mkdhparams
SOCKETS = $(foreach service,imapd imapd-ssl pop3d pop3d-ssl,courier-socket-$(service).socket)
SETTINGS = imapd imapd-ssl pop3d pop3d-ssl
AUTHLIB_PROGRAMS = authdaemond authldap authmysql authpgsql authsqlite
# Settings of single modules: merged where the module is in use, for a file of that name is what turns it on.
AUTHLIB_SETTINGS = authldaprc authmysqlrc authpgsqlrc authsqliterc
authlibdir = $(libexecdir)/courier-authlib
authlibetc = $(dir $(authdaemonrc))

# Replaces @name@ in scripts and configuration files. @id@ changes with the file, so that sysconftool notices.
SUBSTITUTE = sed -e 's|@prefix@|$(prefix)|g' -e 's|@exec_prefix@|$(exec_prefix)|g' -e 's|@bindir@|$(bindir)|g' \
	-e 's|@sbindir@|$(sbindir)|g' -e 's|@libexecdir@|$(libexecdir)|g' -e 's|@sysconfdir@|$(sysconfdir)|g' \
	-e 's|@datadir@|$(datadir)|g' -e 's|@localstatedir@|$(localstatedir)|g' -e 's|@piddir@|$(piddir)|g' \
	-e 's|@userdb@|$(userdb)|g' -e 's|@authdaemonvar@|$(authdaemonvar)|g' \
	-e 's|@authdaemonrc@|$(authdaemonrc)|g' -e 's|@mailuser@|$(mailuser)|g' -e 's|@mailgroup@|$(mailgroup)|g' \
	-e 's|@version@|$(version)|g'
INSTALL = install
STRIP =
D = $(DESTDIR)

# $(call substituted,SOURCE,TARGET,MODE)
substituted = umask 077 && id=$$(cksum <'$(1)' | tr ' ' '-') && \
	$(SUBSTITUTE) -e "s|@id@|$$id-$(version)|g" '$(1)' >'$(D)$(2).tmp' && \
	chmod $(3) '$(D)$(2).tmp' && mv '$(D)$(2).tmp' '$(D)$(2)'

install: $(BUILT)/.built
	$(INSTALL) -d -m 755 $(foreach directory,$(bindir) $(sbindir) $(libexecdir) $(authlibdir) $(sysconfdir) \
		$(authlibetc) $(datadir) $(localstatedir) $(piddir) $(sysconfdir)/imapaccess $(sysconfdir)/shared \
		$(sysconfdir)/shared.tmp $(mandir)/man1 $(mandir)/man5 $(mandir)/man8,'$(D)$(directory)')
	$(INSTALL) $(STRIP) -m 755 $(addprefix $(BUILT)/,$(BIN_PROGRAMS)) '$(D)$(bindir)'
	$(INSTALL) $(STRIP) -m 755 $(addprefix $(BUILT)/,$(SBIN_PROGRAMS)) '$(D)$(sbindir)'
	$(INSTALL) $(STRIP) -m 755 $(addprefix $(BUILT)/,$(LIBEXEC_PROGRAMS)) '$(D)$(libexecdir)'
	$(INSTALL) $(STRIP) -m 755 $(addprefix $(BUILT)/,$(AUTHLIB_PROGRAMS)) '$(D)$(authlibdir)'
	@$(call substituted,$(source)/rc-scripts/imapd.rc.in,$(libexecdir)/imapd.rc,755)
	@$(call substituted,$(source)/rc-scripts/imapd.rc.in,$(libexecdir)/imapd-ssl.rc,755)
	@$(call substituted,$(source)/rc-scripts/pop3d.rc.in,$(libexecdir)/pop3d.rc,755)
	@$(call substituted,$(source)/rc-scripts/pop3d.rc.in,$(libexecdir)/pop3d-ssl.rc,755)
	@$(call substituted,$(source)/rc-scripts/authdaemond.rc.in,$(sbindir)/authdaemond,755)
	@$(call substituted,$(source)/rc-scripts/mkimapdcert.in,$(datadir)/mkimapdcert,755)
	@$(call substituted,$(source)/rc-scripts/mkimapdcert.in,$(datadir)/mkpop3dcert,755)
	@$(call substituted,$(source)/rc-scripts/mkdhparams.in,$(datadir)/mkdhparams,755)
	$(foreach script,$(DATA_SCRIPTS),ln -sfr '$(D)$(datadir)/$(script)' '$(D)$(sbindir)/$(script)' &&) :
	@$(call substituted,$(source)/etc/imapd.dist.in,$(sysconfdir)/imapd.dist,600)
	@$(call substituted,$(source)/etc/imapd-ssl.dist.in,$(sysconfdir)/imapd-ssl.dist,600)
	@$(call substituted,$(source)/etc/pop3d.dist.in,$(sysconfdir)/pop3d.dist,600)
	@$(call substituted,$(source)/etc/pop3d-ssl.dist.in,$(sysconfdir)/pop3d-ssl.dist,600)
	@$(call substituted,$(source)/etc/authdaemonrc.dist.in,$(authdaemonrc).dist,600)
	@$(foreach file,$(AUTHLIB_SETTINGS),$(call substituted,$(source)/etc/$(file).dist.in,$(authlibetc)$(file).dist,600) &&) :
	@$(call substituted,$(source)/rc-scripts/courier-imap.sysvinit.in,$(datadir)/courier-imap.sysvinit,755)
	$(INSTALL) -d -m 755 '$(D)$(datadir)/systemd'
	@$(foreach unit,$(UNITS),$(call substituted,$(source)/etc/systemd/$(unit).service.in,$(datadir)/systemd/$(unit).service,644) &&) :
	@$(foreach unit,$(SOCKETS),$(call substituted,$(source)/etc/systemd/$(unit).in,$(datadir)/systemd/$(unit),644) &&) :
	@$(call substituted,$(source)/etc/systemd/courier-imap.tmpfiles.in,$(datadir)/systemd/courier-imap.tmpfiles,644)
	@$(call substituted,$(source)/etc/inetd.conf.in,$(datadir)/inetd.conf.example,644)
	@$(call substituted,$(source)/etc/xinetd.conf.in,$(datadir)/xinetd.conf.example,644)
	@$(call substituted,$(source)/etc/systemd/courier-imap-mkdhparams.timer.in,$(datadir)/systemd/courier-imap-mkdhparams.timer,644)
	@$(call substituted,$(source)/etc/mkdhparams.cron.in,$(datadir)/courier-imap-mkdhparams.cron,644)
	$(INSTALL) -m 644 '$(source)/etc/quotawarnmsg.example' '$(D)$(sysconfdir)'
# Meant to be edited and not merged: what is there stays.
	@set -e; for file in imapd.cnf pop3d.cnf; do \
		[ -e "$(D)$(sysconfdir)/$$file" ] || $(INSTALL) -m 600 "$(source)/etc/$$file" '$(D)$(sysconfdir)'; done
	@set -e; for page in $(source)/man/*.[158]; do \
		$(INSTALL) -m 644 "$$page" "$(D)$(mandir)/man$${page##*.}"; done
	for name in imapd-ssl.rc pop3d.rc pop3d-ssl.rc; do ln -sf imapd.rc.8 "$(D)$(mandir)/man8/$$name.8" || exit 1; done
	for name in imapd-ssl pop3d pop3d-ssl; do ln -sf imapd.5 "$(D)$(mandir)/man5/$$name.5" || exit 1; done
	for name in authpgsqlrc authsqliterc; do ln -sf authmysqlrc.5 "$(D)$(mandir)/man5/$$name.5" || exit 1; done
	ln -sf mkimapdcert.8 '$(D)$(mandir)/man8/mkpop3dcert.8'
# Who can enter this directory can ask for every password hash: the mail user alone, besides root.
	$(INSTALL) -d -m 750 '$(D)$(authdaemonvar)'
	@if [ "$$(id -u)" = 0 ] && id -u '$(mailuser)' >/dev/null 2>&1; then \
		chown '$(mailuser):$(mailgroup)' '$(D)$(authdaemonvar)'; \
	elif [ -z '$(D)' ]; then \
		echo "note: only $$(id -un) can use $(authdaemonvar); run by root, make install gives it to $(mailuser)"; fi
	@echo "Installed. Now run: make install-configure"

# The release profile leaves no symbols; this is for other profiles.
install-strip:
	@$(MAKE) --no-print-directory install STRIP=-s

install-configure:
	'$(D)$(sbindir)/sysconftool' $(foreach file,$(SETTINGS),'$(D)$(sysconfdir)/$(file).dist') \
		'$(D)$(authdaemonrc).dist'
	@set -e; for file in $(AUTHLIB_SETTINGS); do [ ! -e "$(D)$(authlibetc)$$file" ] || \
		'$(D)$(sbindir)/sysconftool' "$(D)$(authlibetc)$$file.dist"; done

# Live configuration, accounts and certificates stay.
uninstall:
	rm -f $(foreach file,$(addprefix $(bindir)/,$(BIN_PROGRAMS)) \
		$(addprefix $(sbindir)/,$(SBIN_PROGRAMS) $(DATA_SCRIPTS) authdaemond) $(addprefix $(datadir)/,$(DATA_SCRIPTS)) \
		$(addprefix $(libexecdir)/,$(LIBEXEC_PROGRAMS) $(RC_SCRIPTS)) $(addprefix $(authlibdir)/,$(AUTHLIB_PROGRAMS)) \
		$(addsuffix .dist,$(addprefix $(sysconfdir)/,$(SETTINGS))) $(authdaemonrc).dist $(sysconfdir)/quotawarnmsg.example \
		$(addprefix $(authlibetc),$(addsuffix .dist,$(AUTHLIB_SETTINGS))) \
		$(datadir)/courier-imap.sysvinit $(datadir)/systemd/courier-imap.tmpfiles \
		$(addprefix $(datadir)/systemd/,$(addsuffix .service,$(UNITS)) $(SOCKETS) courier-imap-mkdhparams.timer) \
		$(datadir)/courier-imap-mkdhparams.cron $(datadir)/inetd.conf.example $(datadir)/xinetd.conf.example,'$(D)$(file)')
	@for page in $(source)/man/*.[158]; do \
		rm -f "$(D)$(mandir)/man$${page##*.}/$${page##*/}"; done
	rm -f $(foreach page,man8/imapd-ssl.rc.8 man8/pop3d.rc.8 man8/pop3d-ssl.rc.8 man8/mkpop3dcert.8 \
		man5/authpgsqlrc.5 man5/authsqliterc.5 man5/imapd-ssl.5 man5/pop3d.5 man5/pop3d-ssl.5,'$(D)$(mandir)/$(page)')
	@for directory in '$(D)$(authlibdir)' '$(D)$(libexecdir)' '$(D)$(sbindir)' '$(D)$(bindir)' \
		'$(D)$(sysconfdir)/imapaccess' '$(D)$(sysconfdir)/shared' '$(D)$(sysconfdir)/shared.tmp' '$(D)$(datadir)/systemd' '$(D)$(datadir)' \
		'$(D)$(mandir)/man1' '$(D)$(mandir)/man5' '$(D)$(mandir)/man8' '$(D)$(mandir)'; do \
		rmdir "$$directory" 2>/dev/null || :; done

# ---- trying and measuring ------------------------------------------------------------------------------------

run: deps-run
	@$(RUN_CARGO) build --locked
	@BUILT='$(abspath $(TARGET))/debug' PORT='$(PORT)' exec packaging/run.sh

# BENCH="--quick" shows that it works; BENCH="--help" lists the rows.
BENCH =
bench: deps
	@$(MAKE) --no-print-directory all
	@COURIER_BINDIR='$(abspath $(BUILT))' && export COURIER_BINDIR; \
		$(RUN_CARGO) run --locked --release --package compare -- $(BENCH)

check-interop: deps
	@$(RUN_CARGO) build --locked
	@$(RUN_CARGO) build --locked -p tracker
	@COURIER_BINDIR='$(abspath $(TARGET))/debug' CARGO='$(CARGO)' PATH='$(dir $(CARGO))':"$$PATH" $(PATHS) \
		$(source)/tests/interop/run

dist:
	mkdir -p dist
	git -C $(source) archive --format=tar.gz --prefix=courier-imap-$(version)/ \
		-o '$(abspath dist)/courier-imap-$(version).tar.gz' HEAD
	@echo "dist/courier-imap-$(version).tar.gz"

clean:
	rm -rf target dist config.mk config.mk.new
