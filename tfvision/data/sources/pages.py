"""Stacks: files whose pages are samples, one each."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from tfvision.data.files.images import pages_in
from tfvision.data.files.issue import BadSample, Issue
from tfvision.data.sources.source import Record
from tfvision.text import counted, verb


@dataclass
class Samples:
    """Samples of a source of files; all lists but `notes` and `problems` are as long.

    Attributes:
        records, files, mask_places: As `FileSource` takes them.
        pages: The page of each, None for a file of one page; [] where no file was looked at.
        listed: The place of each in the lists before pages were told apart; likewise.
        notes, problems: What is to be said.
    """

    records: list[Record]
    files: list[tuple[Path, Path | None]]
    mask_places: list[str]
    pages: list[int | None] = field(default_factory=list)
    listed: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Issue] = field(default_factory=list)


def each_page(samples: Samples) -> Samples:
    """Every page of every file as a sample, with the page of its mask file of the same number.

    The pages of a file are one group, so that they stay in one split. A file whose mask file has
    another number of pages is a problem, and left out.
    """
    found = Samples([], [], [])
    stacks = 0
    for i, (record, (image, mask)) in enumerate(zip(samples.records, samples.files, strict=True)):
        mask_place = samples.mask_places[i]
        try:
            count = pages_in(image, place=record.place)
            if mask is not None and (masks := pages_in(mask, place=mask_place)) != count:
                raise BadSample(
                    mask_place,
                    f"holds {masks} pages, and its image {count}: each page needs a mask",
                    "Give both as many pages.",
                )
        except BadSample as error:
            found.problems.append(
                Issue("error", record.id, error.place, error.problem, advice=error.advice)
            )
            continue
        stacks += count > 1
        digits = len(str(count - 1))
        for page in range(count):
            name = f"{record.id}_page{page:0{digits}}" if count > 1 else record.id
            where = f", page {page}" if count > 1 else ""
            group = record.group or (record.id if count > 1 else None)
            one = replace(record, id=name, group=group, place=record.place + where)
            found.records.append(one)
            found.files.append((image, mask))
            found.mask_places.append(mask_place and mask_place + where)
            found.pages.append(page if count > 1 else None)
            found.listed.append(i)
    found.notes.append(
        f"pages: each: {counted(len(found.records), 'sample')}, {stacks} of "
        f"{counted(len(samples.files), 'file')} {verb(stacks, 'is a stack', 'are stacks')}; the "
        f"pages of one stay in one split"
    )
    return found
