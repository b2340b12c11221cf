# The tasks of this repository: `just` lists them. Each is a command that can be typed as well.

_default:
    @just --list

# Pre-trains the small GPT, with critical sharpness in burn's dashboard.
run *flags:
    cargo run -p gpt-pretrain -- {{ flags }}

# The chart of a run that is under way, or over.
watch folder:
    cargo run --bin sharpness -- watch {{ folder }}

# All tests.
test:
    cargo test --workspace

# The tests of one binary, such as `just only suite tasks`: they share the build of all.
only binary *filter:
    cargo test --test {{ binary }} -- {{ filter }}

# What must hold before a commit, without the long runs.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- --deny warnings
    cargo test --test pages

# All that must hold before a change lands, as the gate has it.
gate:
    .ci/run

# Links, commands and code of README and the book.
pages:
    cargo test --test pages

# The book, in target/book (`cargo install mdbook`).
book:
    mdbook build

# Packs the packages, and builds a user against what was packed.
package:
    scripts/package-check

# Licences and sources of the dependencies (`cargo install cargo-deny`).
deny:
    cargo deny --offline check bans licenses sources

# Known vulnerabilities of the dependencies: needs a network.
advisories:
    cargo deny check advisories

# Spelling (`cargo install typos-cli`).
spelling:
    typos

# The searches on recorded lines, timed.
bench:
    cargo bench -p critical-search

# The public interface against the last published one (`cargo install cargo-semver-checks`).
semver:
    cargo semver-checks -p critical-search -p sharpness-record -p burn-sharpness -p sharpness-report
