"""wavemill refresh WORKDIR: curate again, with the sources and settings of the last time.

For `ray job submit`: python -m wavemill.jobs.refresh WORKDIR
"""

from __future__ import annotations

from wavemill.jobs import options
from wavemill.jobs.curate import run_build
from wavemill.jobs.entry import run_command


def refresh(
    workdir: options.Workdir,
    overrides: options.Overrides = None,
    executor: options.Executor = None,
    workers: options.Workers = None,
    address: options.Address = None,
    strict: options.Strict = False,
    truth: options.Truth = None,
    retry_failed: options.RetryFailed = False,
    profile_run: options.ProfileRun = False,
) -> None:
    """Bring the corpus up to date: curate again, with the sources and settings of the last time.

    New recordings join the corpus, changed ones are replaced, deleted and withdrawn ones leave;
    everything else stays. Settings that are given here also apply to the next refresh.

    Example: wavemill refresh work --set filter.asr.min_snr_db=10
    """
    from wavemill.pipeline.config import ConfigError, config_from
    from wavemill.pipeline.curation import Config
    from wavemill.pipeline.request import remembered
    from wavemill.pipeline.store import Store

    request = remembered(Store.open(workdir))
    if not request.sources:
        raise ConfigError(
            f"all sources of {workdir} were recordings that have been purged; "
            f"wavemill curate SOURCE... --out {workdir} takes others"
        )
    run = options.RunOptions(executor, workers, address)
    settings = config_from(Config, request.config, [*(overrides or []), *run.overrides()])
    command = "wavemill refresh"
    run_build(request.sources, workdir, settings, command, strict, truth, retry_failed, profile_run)


if __name__ == "__main__":
    run_command(refresh)
