from __future__ import annotations

import multiprocessing
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from webtest import TestApp

from jwt_middleware import JWTMiddleware, Policy, Rule, TokenVerifier
from jwt_middleware.errors import ConfigurationError
from jwt_middleware.events import Name, emit
from jwt_middleware.wsgi.metrics import Metrics
from jwt_middleware.wsgi.middleware import REMEMBERED

from ..service import show_identity

Bearer = Callable[..., dict[str, str]]


def exported(metrics: Metrics) -> dict[str, float]:
    """Return each sample by its name and the values of its labels."""
    registry = CollectorRegistry()
    metrics.register(registry)
    found = {}
    for line in generate_latest(registry).decode().splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            labels = re.findall(r'="([^"]*)"', name)
            found[" ".join([name.partition("{")[0], *labels])] = float(value)
    return found


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    metrics = Metrics()
    yield metrics
    metrics.close()


class TestMetrics:
    def test_count_decisions(
        self, metrics: Metrics, verifier: TokenVerifier, bearer: Bearer
    ) -> None:
        policy = Policy([Rule("/open", access="public"), Rule("/admin", scopes=["admin"])])
        metrics.watch(verifier)
        app = TestApp(
            JWTMiddleware(show_identity, verifier=verifier, policy=policy, metrics=metrics)
        )
        headers = bearer(scope="read")
        for _ in range(3):
            app.get("/x", headers=headers)
        app.get("/open")
        app.get("/admin", headers=headers, status=403)
        app.get("/x", status=401)
        found = exported(metrics)
        name = "jwt_middleware_requests_total"
        assert found[f"{name}  allowed first seen"] == 1
        assert found[f"{name}  allowed remembered"] == 2
        assert found[f"{name}  allowed none"] == 1
        assert found[f"{name} insufficient_scope refused "] == 1
        assert found[f"{name} missing_token refused "] == 1
        assert found["jwt_middleware_verification_seconds_count"] == 1
        assert found["jwt_middleware_verification_seconds_bucket +Inf"] == 1
        assert found["jwt_middleware_verification_seconds_sum"] > 0

    @pytest.mark.parametrize(
        ("event", "sample"),
        [
            (Name.LOGIN_SUCCEEDED, "logins_total succeeded"),
            (Name.LOGIN_FAILED, "logins_total failed"),
            (Name.LOGIN_LIMITED, "logins_total limited"),
            (Name.TOKEN_ISSUED, "tokens_total issued"),
            (Name.TOKEN_REPLAYED, "tokens_total replayed"),
            (Name.SESSION_ENDED, "sessions_ended_total"),
            (Name.KEYS_FETCHED, "key_fetches_total fetched"),
            (Name.KEYS_FAILED, "key_fetches_total failed"),
            (Name.STORE_LOST, "store_errors_total"),
        ],
    )
    def test_count_events(self, metrics: Metrics, event: Name, sample: str) -> None:
        emit(event)
        assert exported(metrics)[f"jwt_middleware_{sample}"] == 1

    def test_have_no_label_that_a_client_chose(self, metrics: Metrics) -> None:
        before = set(exported(metrics))
        emit(Name.REQUEST_REFUSED, reason="of a client", kid="x", path="/y", sub="z")
        assert set(exported(metrics)) == before

    def test_end_with_close(self, metrics: Metrics) -> None:
        metrics.close()
        emit(Name.LOGIN_FAILED)
        assert exported(metrics)["jwt_middleware_logins_total failed"] == 0

    def test_show_lag_and_number_of_revocations(
        self, metrics: Metrics, verifier: TokenVerifier
    ) -> None:
        metrics.watch(verifier, lag=lambda: 12.5, held=lambda: 7)
        found = exported(metrics)
        assert 12 < found["jwt_middleware_revocation_lag_seconds"] < 60
        assert found["jwt_middleware_revocations"] == 7

    def test_lag_before_the_first_answer_is_left_out(
        self, metrics: Metrics, verifier: TokenVerifier
    ) -> None:
        metrics.watch(verifier, lag=lambda: float("inf"))
        assert "jwt_middleware_revocation_lag_seconds" not in exported(metrics)

    def test_need_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="is not a writable folder"):
            Metrics(directory=tmp_path / "absent")


class TestProcesses:
    def test_are_added_up_and_those_that_ended_stay(self, tmp_path: Path) -> None:
        metrics = Metrics(directory=tmp_path)
        try:
            metrics.counts.slots[REMEMBERED] += 1
            children = [
                multiprocessing.get_context("fork").Process(target=_work, args=(metrics,))
                for _ in range(2)
            ]
            for child in children:
                child.start()
            for child in children:
                child.join()
                assert child.exitcode == 0
            found = exported(metrics)
        finally:
            metrics.close()
        assert found["jwt_middleware_requests_total  allowed remembered"] == 1 + 2 * 1000
        assert found["jwt_middleware_logins_total failed"] == 2
        assert found["jwt_middleware_revocations"] == 0  # of those that live
        assert names_in(tmp_path) == [OWN, "jwt_middleware.lock", "jwt_middleware_ended.json"]

    def test_that_come_and_go_do_not_fill_the_folder(self, tmp_path: Path) -> None:
        metrics = Metrics(directory=tmp_path)
        fork = multiprocessing.get_context("fork")
        try:
            for number in range(1, 7):
                child = fork.Process(target=_work, args=(metrics,))
                child.start()
                child.join()
                assert len(names_in(tmp_path)) <= 4
                found = exported(metrics)
                assert found["jwt_middleware_logins_total failed"] == number
        finally:
            metrics.close()

    def test_that_ended_are_counted_once_whatever_breaks_it_off(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        metrics = Metrics(directory=tmp_path)
        try:
            child = multiprocessing.get_context("fork").Process(target=_work, args=(metrics,))
            child.start()
            child.join()
            for broken in ("unlink", "replace"):
                with monkeypatch.context() as patched:
                    patched.setattr(Path, broken, _fail)
                    assert exported(metrics)["jwt_middleware_logins_total failed"] == 1
            for _ in range(2):
                assert exported(metrics)["jwt_middleware_logins_total failed"] == 1
            assert names_in(tmp_path) == [OWN, "jwt_middleware.lock", "jwt_middleware_ended.json"]
        finally:
            metrics.close()

    def test_are_counted_though_another_holds_the_lock(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jwt_middleware.wsgi.counts._LOCKED_SECONDS", 0)
        metrics = Metrics(directory=tmp_path)
        try:
            metrics.counts.slots[REMEMBERED] += 1
            name = "jwt_middleware_requests_total  allowed remembered"
            assert exported(metrics)[name] == 1
        finally:
            metrics.close()

    def test_what_is_no_file_of_ours_or_damaged_is_left_out(self, tmp_path: Path) -> None:
        (tmp_path / "counter_1.db").write_bytes(b"x")
        (tmp_path / "jwt_middleware_1.counts").write_bytes(b'[["a"]]\n123')
        metrics = Metrics(directory=tmp_path)
        try:
            assert exported(metrics)["jwt_middleware_logins_total failed"] == 0
        finally:
            metrics.close()

    def test_one_that_comes_again_goes_on_counting(self, tmp_path: Path) -> None:
        for number in range(2):
            metrics = Metrics(directory=tmp_path)
            metrics.counts.slots[REMEMBERED] += 1
            metrics.close()
            assert metrics.counts.slots[REMEMBERED] == number + 1

    def test_files_are_of_this_user_alone(self, tmp_path: Path) -> None:
        metrics = Metrics(directory=tmp_path)
        try:
            child = multiprocessing.get_context("fork").Process(target=_work, args=(metrics,))
            child.start()
            child.join()
            exported(metrics)
        finally:
            metrics.close()
        assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
        assert names_in(tmp_path)[0] == OWN


OWN = f"jwt_middleware_{os.getpid()}.counts"


def names_in(folder: Path) -> list[str]:
    """Return the names of files, with that of this process first."""
    return sorted((file.name for file in folder.iterdir()), key=lambda name: (name != OWN, name))


def _fail(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def _work(metrics: Metrics) -> None:
    for _ in range(1000):
        metrics.counts.slots[REMEMBERED] += 1
    emit(Name.LOGIN_FAILED)


def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path: Path) -> None:
    metrics = Metrics(directory=tmp_path)
    os.mkfifo(tmp_path / "jwt_middleware_1.counts")
    assert exported(metrics)
    metrics.close()


def test_a_folder_that_is_gone_costs_the_counts_of_others_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    metrics = Metrics(directory=folder)
    emit(Name.LOGIN_FAILED)
    shutil.rmtree(folder)
    assert exported(metrics)["jwt_middleware_logins_total failed"] == 1
    assert "counts of other processes are left out" in caplog.text
    metrics.close()


def test_a_scrape_may_ask_for_the_head_alone(metrics: Metrics) -> None:
    app = TestApp(metrics)
    headers = app.head("/").headers
    assert headers["Content-Type"] == app.get("/").headers["Content-Type"]
