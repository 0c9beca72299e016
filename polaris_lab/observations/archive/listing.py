"""The list of public data: names, addresses, what the files hold, and how sure we are of each address.

Archives move. Every item says how its address is known: "sure" was read in the source itself, "likely" in the
working code of others, "memory" is unconfirmed. Items without an address to download from say what to do by hand.
"""

from __future__ import annotations

import dataclasses

from polaris_lab.config import did_you_mean

_PHOCEA = "http://www.herschel.fr/Phocea/file.php?class=astimg&file=66/"
_PHOCEA_EN = "http://www.herschel.fr/cea/gouldbelt/en/Phocea/file.php?class=astimg&file=66/"
_PHOCEA_PERE = "http://www.herschel.fr/Phocea/file.php?class=pere&file=Images/astImg/66/"
_IMAGES = "http://www.herschel.fr/Images/astImg/66/"
_PREFIXES = (_PHOCEA, _PHOCEA_EN, _PHOCEA_PERE, _IMAGES)

HGBS_PAGE = "http://gouldbelt-herschel.cea.fr/archives"
"""Where the Herschel Gould Belt survey lists its maps and catalogues, cloud by cloud."""


@dataclasses.dataclass(frozen=True)
class Item:
    """One thing that can be fetched.

    Attributes
    ----------
    name : str
        What to ask for, such as "hgbs:orionB".
    what : str
        What it is, with its unit.
    addresses : tuple of str
        Tried in turn; empty where a person must go there.
    kind : str
        What the file must turn out to be: see :data:`polaris_lab.observations.archive.content.KINDS`.
    certainty : {"sure", "likely", "memory"}
        How the address is known.
    source : str
        The paper or page to cite.
    usage : str
        How to open it here.
    steps : tuple of str
        What to do by hand, in order.
    """

    name: str
    what: str
    addresses: tuple[str, ...] = ()
    kind: str = "fits"
    certainty: str = "likely"
    source: str = ""
    usage: str = ""
    steps: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """Name of the file that is kept."""
        return self.addresses[0].rsplit("/", 1)[-1] if self.addresses else self.name.replace(":", "_")


def items() -> dict[str, Item]:
    """Return every item by its name.

    Examples
    --------
    >>> items()["hgbs:orionB"].file_name
    'HGBS_orionB_column_density_map.fits.gz'
    """
    return {item.name: item for item in (*_hgbs(), *_files(), *_by_hand())}


def item(name: str) -> Item:
    """Return one item.

    Raises
    ------
    ValueError
        If there is none of that name ("did you mean").
    """
    known = items()
    if name not in known:
        raise ValueError(f"fetch: unknown name {name!r}: {did_you_mean(str(name), list(known))}")
    return known[name]


_HGBS_MAPS = {  # region: first prefix, file
    "aquila": (_PHOCEA, "HGBS_aquilaM2_column_density_map.fits.gz"),
    "chamaeleonI": (_PHOCEA, "HGBS_chamI_hires_column_density_map.fits.gz"),
    "chamaeleonII_III": (_PHOCEA, "HGBS_chamII_III_hires_column_density_map.fits.gz"),
    "ic5146": (_PHOCEA, "HGBS_ic5146_column_density_map.fits.gz"),
    "musca": (_PHOCEA, "HGBS_musca_column_density_map.fits.gz"),
    "ophiuchus": (_PHOCEA, "HGBS_oph_l1688_column_density_map.fits.gz"),
    "orionA": (_PHOCEA, "HGBS_orionA_column_density_map.fits.gz"),
    "orionB": (_PHOCEA, "HGBS_orionB_column_density_map.fits.gz"),
    "pipe": (_PHOCEA, "HGBS_pipe_column_density_map.fits.gz"),
    "polaris": (_PHOCEA, "HGBS_polaris_column_density_map.fits.gz"),
    "cep1157": (_PHOCEA_EN, "HGBS_cep1157_column_density_map.fits"),
    "lupusI": (_PHOCEA_EN, "HGBS_lupI_column_density_map.fits.gz"),
    "lupusIII": (_PHOCEA_EN, "HGBS_lupIII_column_density_map.fits.gz"),
    "lupusIV": (_PHOCEA_EN, "HGBS_lupIV_column_density_map.fits.gz"),
    "perseus": (_PHOCEA_EN, "HGBS_perseus_column_density_map.fits.gz"),
    "serpens": (_PHOCEA_EN, "HGBS_serpens_column_density_map.fits.gz"),
    "craNS": (_PHOCEA_PERE, "HGBS_craNS_column_density_map.fits.gz"),
    "taurusL1495": (_IMAGES, "HGBS_taurus_L1495_column_density_map.fits.gz"),
}

_HGBS_HIRES = {
    "aquila": "aquilaM2",
    "ic5146": "ic5146",
    "orionB": "orionB",
    "perseus": "perseus",
    "serpens": "serpens",
    "taurusL1495": "tauN3",
}

_HGBS_CORES = {
    "aquila": "aquilaM2",
    "craNS": "craNS",
    "ophiuchus": "ophiuchus",
    "orionB": "orionB",
    "perseus": "perseus",
    "taurusL1495": "taurusL1495",
    "taurusTMC1": "taurusTMC1",
}

_HGBS_CITE = "the paper of the cloud and Andre et al. 2010 (A&A 518, L102)"


def _hgbs() -> list[Item]:
    found = []
    open_map = 'lab.Observation.from_fits(path, distance=..., species="H2")'
    for region, (first, file) in _HGBS_MAPS.items():
        found.append(_hgbs_item(region, file, "N(H2) [cm-2], 36.3 arcsec beam", open_map, first=first))
    for region, stem in _HGBS_HIRES.items():
        file = f"HGBS_{stem}_hires_column_density_map.fits"
        found.append(_hgbs_item(f"{region}:hires", file, "N(H2) [cm-2], 18.2 arcsec beam", open_map))
    for region, stem in _HGBS_CORES.items():
        for which in ("derived", "observed"):
            file = f"HGBS_{stem}_{which}_core_catalog.txt"
            what = f"dense cores, {which} properties"
            usage = "lab.observations.cores.read_hgbs(path)"
            found.append(_hgbs_item(f"{region}:cores_{which}", file, what, usage, kind="table"))
    return found


def _hgbs_item(
    name: str, file: str, what: str, usage: str, *, first: str | None = None, kind: str = "fits"
) -> Item:
    prefixes = _PREFIXES if first is None else (first, *(p for p in _PREFIXES if p != first))
    return Item(
        name=f"hgbs:{name}",
        what=what,
        addresses=tuple(prefix + file for prefix in prefixes),
        kind=kind,
        source=f"Herschel Gould Belt survey, {HGBS_PAGE}; cite {_HGBS_CITE}",
        usage=usage,
    )


def _files() -> list[Item]:
    orion_b = "https://www.iram.fr/~pety/ORION-B/data/"
    lamda = "https://home.strw.leidenuniv.nl/~moldata/datafiles/"
    lines = [
        Item(
            "orion-b:moments",
            "Orion B, 13CO (1-0) moments of the IRAM 30m",
            (f"{orion_b}orionb-2017-orkisz.tar.xz",),
            "tar",
            "sure",
            "Orkisz et al. 2017 (A&A 599, A99)",
            "lab.Observation or astropy.io.fits on 13co10-w0.fits, -w1c, -w2c",
        ),
        Item(
            "orion-b:lines",
            "Orion B, 12 lines in one cube, T_mb, 29.7 arcsec",
            (f"{orion_b}orionb-2017-gratier.tar.xz",),
            "tar",
            "sure",
            "Gratier et al. 2017 (A&A 599, A100)",
            "lab.PPVCube.open(path)",
        ),
    ]
    lines += [
        Item(
            f"lamda:{file}",
            f"levels, lines and collision rates of {name}",
            (f"{lamda}{file}.dat",),
            "table",
            "memory",
            "Schoier et al. 2005 (A&A 432, 369), Yang et al. 2010 (ApJ 718, 1062)",
            "text",
        )
        for file, name in (("co", "12CO"), ("13co", "13CO"), ("c18o", "C18O"))
    ]
    return lines


def _by_hand() -> list[Item]:
    galactica = "http://www.galactica-simulations.eu/db/STAR_FORM/ORION/"
    return [
        Item(
            "galactica:orion",
            "ORION, the report's simulation: RAMSES ideal MHD with self-gravity, box of 66.0948 pc",
            certainty="sure",
            source="Ntormousi & Hennebelle 2019 (A&A 625, A82); Open Database License, attribution required",
            usage="lab.SimulationCube.open(folder, box_size=66.0948 * u.pc)",
            steps=(
                f"open {galactica} in a browser and register (cubes are cut on demand for registered users)",
                "choose the run (the report's is lowB), a snapshot, and the 'datacube' service; ask for density, "
                "temperature and the three velocities at 512 or 1024 cells a side",
                "wait for the message with the link and download the archive",
                "hand it over: polaris-lab fetch galactica:orion --local ARCHIVE (it is checked and unpacked)",
            ),
        ),
        Item(
            "the-well:mhd",
            "isothermal MHD turbulence, 64^3 and 256^3, no gravity; scale-free: you choose density, size and temperature",
            certainty="sure",
            source="The Well (Polymathic AI), data sets MHD_64 and MHD_256, CC-BY-4.0",
            usage="lab.SimulationCube.open(file, mean_density=..., box_size=..., ...)",
            steps=(
                "install the_well with pip, and download one HDF5 file of polymathic-ai/MHD_64 with it (tens of GB for all)",
                "open the file: lab.SimulationCube.open says what it needs to know",
            ),
        ),
        Item(
            "cds:polaris-co",
            "Polaris Flare, 12CO and 13CO (1-0) cubes of the IRAM 30m, 20 arcsec, 0.055 km/s",
            certainty="sure",
            source="Hily-Blant & Falgarone 2007 (A&A 469, 173); VizieR J/A+A/469/173",
            usage="lab.PPVCube.open(path)",
            steps=(
                "open https://cdsarc.cds.unistra.fr/VizieR/ftp/pub/A+A/469/173/ and download the cube you want",
                "hand it over: polaris-lab fetch cds:polaris-co --local FILE",
            ),
        ),
        Item(
            "hgbs:page",
            "every map and catalogue of the Herschel Gould Belt survey",
            certainty="sure",
            source=HGBS_PAGE,
            usage='lab.Observation.from_fits(path, distance=..., species="H2")',
            steps=(
                f"open {HGBS_PAGE}, choose the cloud, download its column density map",
                "hand it over: polaris-lab fetch hgbs:page --local FILE",
            ),
        ),
    ]
