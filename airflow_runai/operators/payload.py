"""The part of an operator that reads, renders and shows what is to run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, XComArg

from airflow_runai.core.jinja import PlainText
from airflow_runai.core.json_merge import deep_merge
from airflow_runai.errors import InvalidArgument
from airflow_runai.tasks.argument_checks import check_payload_arguments
from airflow_runai.tasks.command_line_files import is_file_name, read_command_line
from airflow_runai.tasks.declaration import place, placed_later
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.instructions import Instructions, gather
from airflow_runai.tasks.parse_time_lint import lint_at_parse
from airflow_runai.tasks.rendered_fields import shown_command_line, shown_templates
from airflow_runai.tasks.trial_results import resolved

if TYPE_CHECKING:
    from airflow.sdk import Context
    from jinja2 import Environment

#: Template fields that Airflow only shows; what is used of them is rendered later, word by word.
_SHOWN_FIELDS = ("command_line", "templates")


class PayloadOperator(BaseOperator, ReadableTask):
    """
    Base of operators that submit; :class:`RunaiTrainingOperator` documents the parameters.

    :param variants: within a mapped task group, what differs between its instances, by map index:
        mappings with ``spec``, which is merged into the task's, and ``workload_name``; or the
        output of a task.
    """

    template_fields: Sequence[str] = ("spec", "command_line", "template", "templates")
    template_fields_renderers = {"spec": "json", "command_line": "bash", "templates": "json"}
    #: Endings of files that ``command_line`` may name; no other field names a file.
    template_ext: Sequence[str] = (".sh", ".txt")

    spec: Mapping[str, Any] | None
    command_line: str | None
    template: str | None
    templates: Mapping[str, Any] | str | None
    workload_name: str | None
    #: Whether the workload may start from the beginning after a preemption.
    evaluates = False
    # What else the lint reads of a task.
    deferrable: bool | None
    timeouts: Mapping[str, float] | None
    kill_action: str
    lint_ignore: Sequence[str]
    # Of the one whose constructor has not come so far.
    variants: Sequence[Mapping[str, Any]] | XComArg = ()
    #: Command line and templates as the author wrote them; the fields hold what is shown by then.
    _unrendered: tuple[str | None, Mapping[str, Any] | str | None] | None = None

    #: Where it is declared, if its command line is read from a file.
    _declared_at = ""

    def __init__(
        self, *, variants: Sequence[Mapping[str, Any]] | XComArg = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.variants = variants

    def _check_payload(self) -> None:
        """Check and lint at parse; a line in a file is checked when the file has been read."""
        if is_file_name(self.command_line, self.template_ext):
            self._declared_at = place()
            return
        parsed = check_payload_arguments(
            self.spec, self.command_line, self.template, self.workload_name
        )
        lint_at_parse(self, parsed)

    def resolve_template_files(self) -> None:
        """
        Read the command line from its file, and check it; Airflow calls this after the parse.

        Airflow's own method would take a line that ends with the name of a script for a file.
        """
        try:
            self._read_command_line()
        except InvalidArgument as error:
            failure = placed_later(error, self.task_id, self._declared_at)
        else:
            return self.prepare_template()
        # Outside the handler, so that it gets no context.
        raise failure

    def _read_command_line(self) -> None:
        if is_file_name(self.command_line, self.template_ext):
            self.command_line = read_command_line(self.command_line, self.get_template_env())
            self._check_payload()

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render a value; unlike Airflow's own method, take no text in it for a file's name."""
        if isinstance(content, PlainText):
            return self._render_to_text(content, context)
        if isinstance(content, str):
            environment = jinja_env or self.get_template_env()
            return self._render(environment.from_string(content), context)
        return super().render_template(content, context, jinja_env, seen_oids)

    def _render_to_text(self, content: str, context: Context) -> str:
        # Imported here: it is not needed to parse a DAG.
        from airflow.sdk.definitions.context import render_template_to_string

        dag = self.get_dag()
        plain = dag.get_template_env(force_sandboxed=True) if dag else self.get_template_env()
        return render_template_to_string(plain.from_string(content), context)

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: Environment,
        seen_oids: set[int],
    ) -> None:
        """
        Render the fields, and turn two of them into what Airflow shows.

        Airflow calls this for mapped tasks, too, and also for objects within a field.
        """
        if parent is self and self.variants:
            self.variants = variants = resolved("variants", self.variants, context)
            self._take_variant(variants, context["ti"].map_index)
        shown = _SHOWN_FIELDS if parent is self else ()
        rendered = [name for name in template_fields if name not in shown]
        super()._do_render_template_fields(parent, rendered, context, jinja_env, seen_oids)
        if not shown:
            return
        # Of a mapped task: no parse has seen it.
        if is_file_name(self.command_line, self.template_ext):
            self.command_line = read_command_line(self.command_line, jinja_env)
        # `execute` splits the line before it renders it, so that no value becomes another flag.
        self._unrendered = (self.command_line, self.templates)
        self.command_line = shown_command_line(
            self.command_line, lambda word: self.render_template(word, context, jinja_env)
        )
        self.templates = shown_templates(self.templates)

    def _take_variant(self, variants: Sequence[Mapping[str, Any]], map_index: int) -> None:
        if not 0 <= map_index < len(variants):
            raise InvalidArgument(
                [
                    f"variants: {len(variants)}, for map index {map_index}; allowed: one for "
                    "each instance of the mapped task group around this task"
                ]
            )
        variant = variants[map_index]
        self.spec = deep_merge(self.spec or {}, variant.get("spec") or {})
        self.workload_name = variant.get("workload_name") or self.workload_name

    def _instructions(self, context: Context) -> Instructions:
        command_line, templates = self._unrendered or (self.command_line, self.templates)
        return gather(
            self.spec,
            command_line,
            self.template,
            templates,
            render=lambda value: self.render_template(value, context),
        )
