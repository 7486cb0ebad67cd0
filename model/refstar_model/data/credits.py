"""Whose photographs a model was trained on, as its ``model.json`` names them."""

#: 716 photographs of 560 people: what `detector` and `refstar` were trained on.
FIRST_FACES = (
    "Face Research Lab London Set v5, DeBruine & Jones 2017, doi 10.6084/m9.figshare.5047666.v5, CC BY 4.0",
    "Young Adult White Faces with Manipulated Versions v1, DeBruine & Jones 2017, doi 10.6084/m9.figshare.4220517.v1, "
    "CC BY 4.0",
    "Self-portraits of L. DeBruine (webmorphR.stim), CC0 1.0",
    "Official portraits of members of the US Congress and presidents, US government works, presumed public domain",
)
#: With the second folder of photographs; its synthetic faces are for evaluation only.
ALL_FACES = (
    *FIRST_FACES,
    "Portraits of staff and fellows on sites of the US government (Presidential Innovation Fellows, Digital Corps, "
    "18F), public domain or CC0 1.0",
    "Stock pictures collected in cjdowner/interfaces, offered as CC0 1.0",
)
