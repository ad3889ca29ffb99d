"""``@task.runai``: a function that returns what a training runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    TaskDecorator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_runai.errors import SpecError
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.tasks.argument_checks import check_payload_arguments
from airflow_runai.tasks.rendered_fields import shown_command_line
from airflow_runai.tasks.retries import fail_without_retry

if TYPE_CHECKING:
    from airflow.sdk import Context


class RunaiDecoratedOperator(DecoratedOperator, RunaiTrainingOperator):
    """
    Run what a function returns: a specification, or a command line.

    The function is called in each try, and again when the task goes on after its wait. So it must
    return the same each time: what was submitted is not changed any more.

    :param python_callable: the function.
    :param op_args: its positional arguments; templated.
    :param op_kwargs: its named arguments; templated.
    """

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *RunaiTrainingOperator.template_fields,
    )
    template_fields_renderers = {
        **DecoratedOperator.template_fields_renderers,
        **RunaiTrainingOperator.template_fields_renderers,
    }
    custom_operator_name = "@task.runai"
    overwrite_rtif_after_execution = True

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, **kwargs
        )

    def _check_payload(self) -> None:
        for name in ("spec", "command_line"):
            if getattr(self, name) is not None:
                raise SpecError([f"{name}: set; what the function returns takes its place"])

    def execute(self, context: Context) -> dict[str, Any]:
        """Call the function; then submit or adopt, and wait."""
        with fail_without_retry():
            self._take(context)
        result: dict[str, Any] = super().execute(context)
        return result

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Call the function again, and go on."""
        with fail_without_retry(in_the_middle=True):
            self._take(context)
        return super().execute_complete(context, event)

    def _take(self, context: Context) -> None:
        """Call the function, and take what it returns for what is to run."""
        context_merge(context, self.op_kwargs)
        given = determine_kwargs(self.python_callable, self.op_args, context)
        returned = self.python_callable(*self.op_args, **given)
        if not (returned and isinstance(returned, (str, Mapping))):
            raise SpecError(
                [
                    f"{self.python_callable.__name__}: returned {type(returned).__name__}; "
                    "allowed: a specification (a mapping) or a command line (a text)"
                ]
            )
        line, spec = (returned, None) if isinstance(returned, str) else (None, returned)
        check_payload_arguments(spec, line, self.template, self.workload_name)
        templates = self._unrendered[1] if self._unrendered else self.templates
        self._unrendered = (line, templates)
        self.spec = self.render_template(spec, context)
        self.command_line = shown_command_line(
            line, lambda word: self.render_template(word, context)
        )


def runai_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """
    Make a training of a function that returns what it runs: ``@task.runai(project="team-a")``.

    :param python_callable: the function.
    :param kwargs: other arguments of :class:`RunaiTrainingOperator`.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        decorated_operator_class=RunaiDecoratedOperator,
        **kwargs,
    )
