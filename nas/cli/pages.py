"""The front page in the folder of a study, as every command leaves it that has changed the study."""

from __future__ import annotations

from nas.report.front_page import write_front_page
from nas.results import StudyFolder
from nas.retrained import accuracies, retrained
from nas.search.curve import curve
from nas.search.study import Study


def write_front(folder: StudyFolder, study: Study) -> None:
    """Write the front of a study as a page; it leads to the page of the study's baselines where there is one."""
    view, baselines = study.view(), folder.baselines_page
    link = baselines.name if baselines.is_file() else ""
    write_front_page(
        folder.front_page,
        view,
        notes=view.trust_lines,
        curve=curve(study, view),
        baselines=link,
        retrained=accuracies(retrained(folder.path)),
    )
