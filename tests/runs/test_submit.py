"""Which requests are accepted or refused, and what the row contains when `submit_run` returns."""

import base64
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moonmind_appliance.errors import Conflict, Forbidden, InvalidRequest, RequestError, TooLarge, TooMany, Unavailable
from moonmind_appliance.models import LoginState, PhaseStatus, Run, RunStatus, WaitReason
from moonmind_appliance.runs.submit import MAX_SPECIFY_BYTES, branch_refusal
from tests.appliance_under_test import ApplianceUnderTest, open_appliance
from tests.fakes import ANN, BOB
from tests.known_tokens import REAL


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[ApplianceUnderTest]:
    """Without GitHub: nothing is executed."""
    with open_appliance(tmp_path) as appliance:
        yield appliance


def problems(appliance: ApplianceUnderTest, **fields: Any) -> dict[str, str]:
    with pytest.raises(RequestError) as caught:
        appliance.submit(**fields)
    assert appliance.store.run_lists.queued() == []
    assert appliance.wakeups.woken == []
    return {problem.field: problem.message for problem in caught.value.fields}


def test_a_submitted_run_is_queued_with_nine_pending_phases(appliance: ApplianceUnderTest) -> None:
    """The run that `submit_run` returned is in the database, with the request, its actor and its time."""
    run = appliance.submit(base_branch="next", external_ref="ci-7", shard=1)
    assert appliance.stored(run) == run
    assert (run.status, run.accepted_at, run.created_by) == (RunStatus.QUEUED, appliance.clock(), ANN)
    assert (run.repository, run.base_branch, run.external_ref, run.shard_pin) == (appliance.slug, "next", "ci-7", 1)
    assert [phase.status for phase in run.phases] == [PhaseStatus.PENDING] * 9


def test_the_text_is_kept_byte_for_byte(appliance: ApplianceUnderTest) -> None:
    """Any text is data: quotes, options, commands, skills and unusual line ends are unchanged."""
    text = "-rf $(id) `id` $speckit-tasks <skill>x</skill>\r\n\t'\"\\ \u2028 \U0001f600 \ufeff"
    assert appliance.stored(appliance.submit(specify_text=text)).specify_text == text


def test_256_kib_are_taken_and_one_byte_more_is_too_large(appliance: ApplianceUnderTest) -> None:
    """The limit counts bytes of UTF-8, not characters."""
    appliance.submit(specify_text="é" * (MAX_SPECIFY_BYTES // 2))
    with pytest.raises(TooLarge) as caught:
        appliance.submit(specify_text="é" * (MAX_SPECIFY_BYTES // 2) + "x", repository="?")
    assert caught.value.status == 413
    assert [problem.field for problem in caught.value.fields] == ["repository", "specify_text"]
    assert "262145 bytes" in caught.value.fields[1].message


def test_all_fields_are_judged_at_once(appliance: ApplianceUnderTest) -> None:
    """One response lists every invalid field; nothing is stored, no shard is woken."""
    found = problems(
        appliance,
        repository="acme",
        specify_text=" \n\x00",
        base_branch="a..b",
        external_ref="r" * 256,
        shard=3,
        idempotency_key="",
    )
    assert list(found) == ["repository", "specify_text", "base_branch", "external_ref", "shard", "Idempotency-Key"]
    assert found["shard"] == "Shard 3 does not exist: send 0 to 2, or omit the field."


def test_the_settings_limit_submissions_and_the_queue(tmp_path: Path) -> None:
    """A refusal stores nothing, wakes no shard, and names the setting."""
    limits = {"max_submissions_per_minute": 3, "max_queued_runs_per_user": 2, "max_queued_runs": 3}
    with open_appliance(tmp_path, **limits) as appliance:
        key = {"idempotency_key": "one"}
        first = appliance.submit(**key)
        appliance.submit()
        woken = len(appliance.wakeups.woken)
        for code, setting, actor in (
            ("too_many_queued_runs", "MAX_QUEUED_RUNS_PER_USER", ANN),
            ("queue_full", "MAX_QUEUED_RUNS", BOB),
            ("queue_full", "MAX_QUEUED_RUNS", BOB),
        ):
            if actor is BOB and len(appliance.store.run_lists.queued()) < 3:
                appliance.submit(actor=BOB)
                woken += 1
            with pytest.raises(TooMany) as caught:
                appliance.submit(actor=actor)
            assert (caught.value.status, caught.value.code) == (429, code)
            assert setting in str(caught.value)
        assert appliance.submit(**key).run_id == first.run_id
        assert len(appliance.store.run_lists.queued()) == 3
        assert len(appliance.wakeups.woken) == woken


@pytest.mark.parametrize("text", ["", " ", "\n\t\r ", "\u3000\u00a0", "\ufeff", "\ufeff\u200b\n", "\u2800\u3164"])
def test_a_blank_text_is_refused(appliance: ApplianceUnderTest, text: str) -> None:
    """Blanks of any script, and invisible characters, are no specification."""
    assert problems(appliance, specify_text=text) == {"specify_text": "Must not be blank: it has no visible character."}


def test_half_a_surrogate_pair_is_refused(appliance: ApplianceUnderTest) -> None:
    """What has no UTF-8 form is refused before it reaches the database."""
    found = problems(appliance, specify_text="a\ud800", external_ref="\udfff", base_branch="b\ud800")
    assert set(found) == {"specify_text", "external_ref", "base_branch"}


@pytest.mark.parametrize("field", ["base_branch", "external_ref"])
@pytest.mark.parametrize(
    "character", list("\x1b\x9b\x85\xad\u061c\u200b\u200d\u2028\u2029\u202e\u2066\ufeff\U000e0041")
)
def test_names_with_invisible_characters_are_refused(appliance: ApplianceUnderTest, field: str, character: str) -> None:
    """Categories Cc, Cf, Zl and Zp: they would change what a terminal, a log or a reviewer shows."""
    found = problems(appliance, **{field: f"a{character}b"})
    assert list(found) == [field]
    if ord(character) > 0x7F:
        assert f"U+{ord(character):04X}" in found[field]


@pytest.mark.parametrize("name", ["größe", "漢字", "rocket-🚀", "नमस्ते"])
def test_visible_names_of_any_script_are_taken(appliance: ApplianceUnderTest, name: str) -> None:
    """Letters, marks and symbols are visible characters."""
    run = appliance.submit(base_branch=name, external_ref=name)
    assert (run.base_branch, run.external_ref) == (name, name)


@pytest.mark.parametrize(
    "repository",
    ["a/b", "MoonLadderStudios/moonmind", "a-b/.github", "octo_corp/x", "a/b.c_d-e", "a" * 39 + "/" + "b" * 100],
)
def test_names_that_github_has_are_taken(appliance: ApplianceUnderTest, repository: str) -> None:
    """Owner and name by GitHub's rules, in the caller's spelling."""
    assert appliance.submit(repository=repository).repository == repository


@pytest.mark.parametrize(
    "repository",
    [
        "",
        "a",
        "/b",
        "a/",
        "a/b/c",
        "-a/b",
        "a-/b",
        "a--b/c",
        "a/.",
        "a/..",
        "a/b.git",
        "a b/c",
        "a/b\n",
        "ä/b",
        "https://github.com/a/b",
        "a" * 40 + "/b",
        "a/" + "b" * 101,
    ],
)
def test_names_that_github_cannot_have_are_refused(appliance: ApplianceUnderTest, repository: str) -> None:
    """Anything that is not owner/name is refused before it can become part of an address or an argument."""
    assert list(problems(appliance, repository=repository)) == ["repository"]


@pytest.mark.parametrize("branch", ["-f", "--all", "HEAD", "@", "", "b" * 245])
def test_what_git_would_read_otherwise_is_no_branch(branch: str) -> None:
    """A name that is an option or has another meaning is refused, although some of git's checks accept it."""
    assert branch_refusal(branch)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from([*"ab./-@{}~^:?*[\\ \x01\x7fé", ".lock", "../", "@{"]), min_size=1, max_size=6).map(
        "".join
    )
)
def test_every_other_name_is_judged_as_git_judges_it(name: str) -> None:
    """For a name without a leading dash, our answer is that of the real `git check-ref-format`."""
    if name.startswith("-") or name in {"@", "HEAD"}:
        return
    git = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False, capture_output=True)
    assert (branch_refusal(name) is None) == (git.returncode == 0)


def test_only_allowed_repositories_are_taken_in_any_case(tmp_path: Path) -> None:
    """With SPEC_WORKFLOW_GITHUB_REPOSITORY set, others are 403; GitHub's names have no case."""
    with open_appliance(tmp_path, spec_workflow_github_repository=("Acme/Shop", "acme/api")) as appliance:
        assert appliance.submit(repository="aCME/sHOP").repository == "aCME/sHOP"
        with pytest.raises(Forbidden) as caught:
            appliance.submit(repository="acme/shop2")
    assert caught.value.code == "repository_not_allowed"
    assert "SPEC_WORKFLOW_GITHUB_REPOSITORY" in str(caught.value)


def test_test_mode_makes_every_run_a_dry_run(tmp_path: Path) -> None:
    """SPEC_WORKFLOW_TEST_MODE is stored in the row, so that a later change of the setting does not push the run."""
    with open_appliance(tmp_path, spec_workflow_test_mode=True) as appliance:
        assert appliance.stored(appliance.submit(dry_run=False)).dry_run


@pytest.mark.parametrize("field", ["specify_text", "external_ref", "repository"])
def test_a_known_secret_is_not_kept(appliance: ApplianceUnderTest, field: str) -> None:
    """A value that the appliance knows as a secret is refused, named by its kind and never by itself."""
    appliance.resources.redactor.add("GITHUB_TOKEN", "s3cr3t-Value-9000")
    found = problems(appliance, **{field: "ab/s3cr3t-Value-9000"})
    assert "GITHUB_TOKEN" in found[field]
    assert "s3cr3t" not in str(found)


def test_a_secret_is_found_in_its_encodings_and_by_its_shape(appliance: ApplianceUnderTest) -> None:
    """A base64 form of a known value, and a text in the shape of a GitHub token, are refused too."""
    appliance.resources.redactor.add("GITHUB_TOKEN", "s3cr3t-Value-9000")
    coded = base64.b64encode(b"x-access-token:s3cr3t-Value-9000").decode()
    assert "GITHUB_TOKEN" in problems(appliance, specify_text=f"use {coded}")["specify_text"]
    message = problems(appliance, specify_text=f"one\ntwo: {REAL}")["specify_text"]
    assert message.startswith("Contains a secret: GitHub token in line 2, byte 9 (SHA-256 ")
    assert "NOT_SECRET_SHA256" in message
    assert REAL not in message


def test_the_operator_allows_a_value_in_texts(tmp_path: Path) -> None:
    """By its hash; a secret that the appliance knows is always refused, and its message contains no hash."""
    sha256 = hashlib.sha256(REAL.encode()).hexdigest()
    with open_appliance(tmp_path, not_secret_sha256=(sha256,)) as appliance:
        text = f"use {REAL}"
        assert appliance.stored(appliance.submit(specify_text=text)).specify_text == text
        appliance.resources.redactor.add("GITHUB_TOKEN", REAL)
        with pytest.raises(InvalidRequest) as caught:
            appliance.submit(specify_text=text)
        message = caught.value.fields[0].message
        assert "GITHUB_TOKEN in line 1, byte 4." in message
        assert sha256 not in message
        assert "NOT_SECRET_SHA256" not in message


@pytest.mark.parametrize("field", ["specify_text", "repository", "base_branch"])
@pytest.mark.parametrize(
    "words",
    [
        "rt_hw_interrupt_thread_switch",
        "mma_sync_aligned_m16n8k16_row_col_f16_f16_f16_f16",
        "sk-bratislava-hotels-near-the-old-town-and-castle",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "x" * 36,
    ],
)
def test_words_with_the_form_of_a_token_are_accepted_and_stored_unchanged(
    appliance: ApplianceUnderTest, field: str, words: str
) -> None:
    """They are not secrets, and the run uses them unchanged."""
    value = f"acme/{words}" if field == "repository" else words
    run = appliance.stored(appliance.submit(**{field: value}))
    assert getattr(run, field) == value


def test_many_secrets_are_named_and_counted(appliance: ApplianceUnderTest) -> None:
    """The first five by position."""
    message = problems(appliance, specify_text=" ".join([REAL] * 8))["specify_text"]
    assert message.count("GitHub token in line 1, byte ") == 5
    assert "; and 3 more." in message


def test_a_full_disk_takes_no_run(tmp_path: Path) -> None:
    """Below a quarter of MIN_FREE_DISK the response is 503 `disk_blocked` with `Retry-After`, and nothing is stored."""
    with open_appliance(tmp_path, min_free_disk=1 << 60) as appliance:
        with pytest.raises(
            Unavailable, match=r"has [0-9.]+ GiB free; a new run needs at least 268435456.0 GiB"
        ) as caught:
            appliance.submit()
        assert (caught.value.code, caught.value.retry_after) == ("disk_blocked", 60)
        assert appliance.store.run_lists.queued() == []


def test_a_disk_that_is_nearly_full_takes_runs(tmp_path: Path) -> None:
    """Between a quarter of MIN_FREE_DISK and MIN_FREE_DISK they are stored, and wait."""
    free = shutil.disk_usage(tmp_path).free
    with open_appliance(tmp_path, min_free_disk=free * 2) as appliance:
        run = appliance.submit()
        appliance.work()
        waits = appliance.stored(run).waiting_for
        assert waits is not None
        assert (waits.reason, waits.detail) == (WaitReason.DISK, "the disk of the data folder is nearly full")


def test_a_full_disk_is_freed_first(tmp_path: Path) -> None:
    """Files past their retention time go before a submission is refused."""
    with open_appliance(tmp_path, min_free_disk=1 << 60) as appliance:
        run_id = "00000000-0000-4000-8000-000000000000"
        appliance.resources.files.write(run_id, "old.log", b"x", appliance.resources.redactor)
        with pytest.raises(Unavailable):
            appliance.submit()
        assert appliance.resources.files.run_ids() == []


def test_a_stopping_appliance_takes_no_run(appliance: ApplianceUnderTest) -> None:
    """While it drains the answer is 503 `draining`."""
    appliance.resources.stopping.set()
    with pytest.raises(Unavailable) as caught:
        appliance.submit()
    assert caught.value.code == "draining"


def test_the_same_key_and_body_give_the_first_run(appliance: ApplianceUnderTest) -> None:
    """A repeated request creates no second run, and wakes no shard again."""
    first = appliance.submit(idempotency_key="k 1")
    assert appliance.submit(idempotency_key="k 1").run_id == first.run_id
    assert len(appliance.wakeups.woken) == len(appliance.store.run_lists.queued()) == 1


def test_the_same_key_with_another_body_is_a_conflict(appliance: ApplianceUnderTest) -> None:
    """A key identifies one request."""
    appliance.submit(idempotency_key="k")
    with pytest.raises(Conflict) as caught:
        appliance.submit(idempotency_key="k", dry_run=True)
    assert caught.value.code == "idempotency_key_reused"


def test_a_key_is_its_callers_own(appliance: ApplianceUnderTest) -> None:
    """Two people may choose the same key."""
    assert appliance.submit(ANN, idempotency_key="k").run_id != appliance.submit(BOB, idempotency_key="k").run_id


@pytest.mark.parametrize("key", ["", " ", " a", "a ", "a\nb", "é", "k" * 256])
def test_a_key_is_printable_ascii(appliance: ApplianceUnderTest, key: str) -> None:
    """Other keys are refused, so that no proxy changes one on its way."""
    assert list(problems(appliance, idempotency_key=key)) == ["Idempotency-Key"]


def test_a_shard_is_woken_once_the_row_is_there(appliance: ApplianceUnderTest) -> None:
    """The shard that is woken has a login."""
    appliance.know_logins(LoginState.ABSENT, LoginState.PRESENT, LoginState.DEAD)
    run = appliance.submit()
    assert appliance.wakeups.woken == [1]
    assert appliance.stored(run).waiting_for is None


def test_a_pinned_run_wakes_its_own_shard(appliance: ApplianceUnderTest) -> None:
    """Wherever else a login is."""
    appliance.know_logins(LoginState.PRESENT, LoginState.PRESENT, LoginState.PRESENT)
    appliance.submit(shard=2)
    assert appliance.wakeups.woken == [2]


def test_without_any_login_the_run_waits_for_one(appliance: ApplianceUnderTest) -> None:
    """It is accepted, and its wait is visible at once, with its event."""
    appliance.know_logins(LoginState.ABSENT, LoginState.DEAD, LoginState.ABSENT)
    waits = appliance.stored(appliance.submit()).waiting_for
    assert waits is not None
    assert (waits.reason, waits.until) == (WaitReason.LOGIN, None)
    assert [event.kind for event in appliance.store.events.after(0)] == ["run.queued", "run.waiting"]


def test_a_run_that_must_wait_is_stored_in_one_commit(
    appliance: ApplianceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit waits for the disk: a submission has one, with the reason to wait."""
    appliance.know_logins(LoginState.ABSENT, LoginState.ABSENT, LoginState.ABSENT)
    writes, write = [], appliance.store.database.write
    monkeypatch.setattr(appliance.store.database, "write", lambda: (writes.append(1), write())[1])
    run = appliance.submit()
    assert len(writes) == 1
    assert appliance.stored(run).waiting_for is not None


def test_a_login_that_appears_while_a_run_is_stored_ends_its_wait(
    appliance: ApplianceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is examined again after the row is stored."""
    appliance.know_logins(LoginState.ABSENT, LoginState.ABSENT, LoginState.ABSENT)
    insert = appliance.store.runs.insert

    def signed_in_before(*args: Any, **kwargs: Any) -> Run:
        appliance.know_logins(LoginState.PRESENT, LoginState.ABSENT, LoginState.ABSENT)
        return insert(*args, **kwargs)

    monkeypatch.setattr(appliance.store.runs, "insert", signed_in_before)
    assert appliance.stored(appliance.submit()).waiting_for is None


def test_a_pinned_run_waits_for_its_own_shards_login(appliance: ApplianceUnderTest) -> None:
    """Logins of shards that it may not use do not help it."""
    appliance.know_logins(LoginState.ABSENT, LoginState.PRESENT, LoginState.PRESENT)
    waits = appliance.stored(appliance.submit(shard=0)).waiting_for
    assert waits is not None
    assert waits.reason is WaitReason.LOGIN


def test_a_failed_wake_up_does_not_fail_the_request(
    appliance: ApplianceUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    """The row decides: the run is stored, and the log reports that no shard was woken."""
    appliance.wakeups.broken = True
    run = appliance.submit()
    assert appliance.stored(run).status is RunStatus.QUEUED
    assert run.run_id in caplog.text


def test_a_request_that_cannot_be_used_has_a_status_of_the_callers(appliance: ApplianceUnderTest) -> None:
    """400, never a 5xx, for what the caller sent."""
    with pytest.raises(InvalidRequest) as caught:
        appliance.submit(repository="x")
    assert (caught.value.status, caught.value.code) == (400, "invalid_request")
