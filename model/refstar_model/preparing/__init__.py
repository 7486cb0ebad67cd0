"""From folders of photographs, one for each person, to a data folder that training reads."""
