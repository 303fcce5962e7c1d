// Written by `python -m widgets.colors`; change the tables there.

/** 256 colours of three bytes each, in base64. */
export const TABLES = {
  weight:
    "/////v7+/f3+/Pz9+/v8+vr7+fn79/j69vj69ff69Pb58vX58fT58PP47/L47fH47PD46u/46e745+745u355Oz54+v54er54On6" +
    "3uj63ef62+b62uX62eX52OT51uP51eL41OH40+D40d/30N73z933ztz2zNv2y9v2ytr2ydn1x9j1xtf1xdb0xNX0wtT0wdP0wNLz" +
    "v9HzvdHzvNDzu8/yuc7yuM3yt8zytsvxtMrxs8nxssjxscfwr8fwrsbwrcXwq8TwqsPvqcLvp8HvpsDvpb/vpL7uor3uob3uoLzu" +
    "nrvunbrunLntmrjtmbftmLbtl7XtlbTslLPsk7LskbLskLHsj7Drja/rjK7ri63riqzriKvqh6rqhqnqhKjqg6fpgqbpgabpf6Xp" +
    "fqTofaPofKLne6HneqDmeZ/md57ldp3ldZzkdJvkc5vkcprjcZnjcJjibpfibZbhbJXha5TgapPgaZLfaJHfZ5DeZZDeZI/dY47d" +
    "Yo3cYYzcYIvbX4rbXonaXYjaXIfZWobZWYXYWIXXV4TXVoPWVYLWVIHVU4DVUn/UUX7UUH3TT3zSTnvSTXrRTHrRS3nQSXjQSHfP" +
    "R3bPRnXORXTNRHPNQ3LMQnHMQXDLQG/LP27KPm7KPW3JO2zJOmvIOWrHOGnHN2jGNmfFNWbFNWXENGTDM2PCMmPBMWLBMGHAL2C/" +
    "Ll++LV69LF29K1y8K1u7Klu6KVq6KFm5J1i4Jle3JVa2JFW2I1S1IlO0IVKzIFKzH1GyHlCxHU+wHU6vHE2vG0yuGkutGUqsGEmr" +
    "F0mqF0ipF0enFkamFkalFUWjFUSiFEShFEOfE0KeE0GdEkGbEkCaEj+ZET6XET6WED2VEDyUDzuSDzuRDjqQDjmODjmNDTiMDTeL" +
    "DDaJDDaICzWHCzSFCjOECjODCjKCCTGACTF/CDB+CC99By97By56By15Bix4Bix2BSt1BSp0BCl0BChzAyhyAidxAiZwASVvASRu" +
    "ASNuACJtACJrACFqACFoACBn",
  weight_dark:
    "Gh4lGh8mGx8nGyAoHCEpHCErHCIsHSMtHSMuHSQvHiUwHiUxHyYzHyY0Hyc1ICg2ICg3ISk4ISo6ISo7Iis8Iiw9Iyw+Iy0/Iy5B" +
    "JC5CJC9DJTBEJTBFJTFHJjJIJjNJJjNKJzRLJzVNKDVOKDZPKDdRKDdSKThUKTlVKTlWKjpYKjtZKjtbKzxcKz1dKz1fKz5gLD9i" +
    "LD9jLEBlLUFmLUFoLUJpLUNrLkNsLkRuLkVvLkZxLkZyL0d0L0h1L0h3L0l5MEp6MEp8MEt+MEx/MEyBME2CMU6EMU6GMU+HMVCJ" +
    "MVCLMlGMMlKOMlKPM1OQM1SSM1WTNFWVNFaWNVeXNVeZNViaNlmcNlqdNlqeN1ugN1yhOFyiOF2kOF6lOV+nOV+oOmCpOmGrOmKs" +
    "O2KuO2OvPGSwPGWyPGWzPWa1PWe2Pmi3Pmi5Pmm6P2q7P2u9QGu+QWy/QW3AQm7BQm7DQ2/ERHDFRHHGRXLHRXLIRnPJR3TLR3XM" +
    "SHbNSHbOSXfPSnjQS3nQTHrRTXvRTnzST33TUH3TUX7UUn/UU4DVVIHVVYLWVoPWV4TXWIXXWYXYWobZW4fZXIjaXYnaX4rbYIvb" +
    "YYzcYozcY43dZI7dZY/eZpDeZ5HeaJLfaZPfapTga5TgbZXhbpbhb5ficJjicZnjcprjc5vkdJzkdZzldp3ld57leZ/meqDme6Hn" +
    "fKLnfaPofqTof6TpgKXpgqbpg6fphKjqhanqhqrqiKvqiazqiqzri63rja7rjq/rj7DrkLHskrLsk7PslLTslbTsl7XtmLbtmbft" +
    "mrjtnLntnbrtnrvuoLzuobzuor3uo77upb/vpsDvp8HvqMLvqsPvq8PvrMTwrcXwr8bwsMfwscjxssnxtMrxtcrxtsvxt8zyuc3y" +
    "us7yu8/yvNDzvdHzv9LzwNLzwdP0wtT0xNX0xdb0xtf1x9j1yNn1ytn1y9r2zNv2zdz2zt330N730d/30uD40+D41eH41uL41+P5" +
    "2OT52eX52+b63Of63ej63uj7",
  signed:
    "44Mn5IMq5IQs5YUt5YYv5ocx54gz54k16Io36Is46Yw66Yw86o096o4/649A65BC7JFD7ZJF7ZNG7pRI7pVJ75VL75ZM8JdO8JhQ" +
    "8JlS8JpU8ZxW8Z1Y8Z5a8Z9c8qBe8qFg8qJi8qNk86Rl86Vn86Zp86dr9Kht9Klu9Kpw9Kty9axz9a119a539a959rB69rF89rJ+" +
    "9rN/97SB97WD97aF97eG97iI+LmK+LqL+LuN+LyP+L2Q+b6S+b+U+cCV+cGX+cKZ+cOa+sSc+sWe+saf+seh+sii+8mk+8qm+8un" +
    "+8yp+82q/M6s/M+u/NCv/NGx/NKz/NO0/NS2/NW4/Na5/Ne7/di9/dm//drA/dvC/dzE/d3F/d7H/d/J/eDK/eHM/eLO/ePP/eTR" +
    "/eXT/ebU/ufW/ujY/unZ/urb/uvd/uve/uzg/u3h/u7j/u/l/vDm//Ho//Lp/vPs/vXu/vbw/vbx/vfz/vj0/vn2/vr3/vv5//z6" +
    "//38//79/////////v7//f3+/P3++/z++vv9+fr9+Pr99vn99fj99Pf+8/f+8fb+8PX/7/T+7vT+7fP+7PL+6/H96fH96PD95+/9" +
    "5u785e385O384+z84uv74er74Or73+n73uj63ef63Of62+b62uX52eT52OT51uP51eL41OH40+H40uD40d/30N73z933zt33zdz2" +
    "zNv2y9r2ytr2ydn1yNj1x9f1xtf1xdb0xNX0w9T0wtT0wNPzv9LzvtHzvdHzvNDzu8/yus7yuc3yuM3yt8zytsvxtcrxtMrxs8nx" +
    "scjxsMfwr8fwrsbwrcXwrMTwq8TvqsPvqcLvqMHvp8HvpsDvpb/vo77uor3uob3uoLzun7vunrrunbrtnLntm7jtmrftmbftl7bt" +
    "lrXtlbTslLTsk7PskrLskbHskLDsj7Drjq/rja7rjK3riq3riazqiKvqh6rqhqrqhanqhKjqg6fpgqbpgabpgKXpf6TofqPofaPo" +
    "fKLne6HneqDmeZ/meJ/md57l",
  signed_dark:
    "33sR3XoM3HkI23cE2nYA2HUA13UA1XQA1HMA0nIA0XEAz3AAzm8AzG8Ay24AyW0AyGwAxmsAxWoAw2kAwmgAwGgAv2cAvWYAvGUA" +
    "umQAuWMAt2MAtmIAtGEAs2AAsV8AsF4Ar14ArV0ArFwAqlsAqVoAp1kAplkApFgAo1cAoVYAoFUAn1QAnVQAnFMAmlIAmVEAl1AA" +
    "lk8AlU8Ak04Akk0AkEwAj0sAjUsAjEoAi0kAiUgAiEcAhkcAhUYAhEUAgkQAgUMAgEMAfkIAfUEAfEAAej8CeD8Fdj8JdD4Mcj4P" +
    "cD4Rbj0TbD0Vaj0XaDwYZjsZZTsaYzoaYTobXzkcXjkcXDgdWjcdWTceVzYeVTYfVDUfUjQgUDQgTzMgTTMhTDIhSjEhSDEiRzAi" +
    "RTAiQy8iQi4jQC4jPy0jPSwjOywkOiskOCskNyokNSkkMykkMigkMCclLyclLSYlKyUlKiUlKCQlJyMlJSMlJCIlIiElICElHyAl" +
    "HR8lHB8lGh4lGh4lGh8nGyApGyAqGyEsHCIuHCMwHCQxHSUzHSU1HSY3HSc5Hig6Hik8Hio+HypAHytCHyxEHy1GIC5HIC9JIC9L" +
    "ITBNITFPITJRITNTIjRVIjRXIjVZIjZbIjdeIjhgIjhiIjlkIjpnIjtpIjxrIjxuIj1wIj5yIj91Ij93IkB6IkF8IkJ/IkKBIkOE" +
    "IUSGIUSJIUWMIUaOIEeRIEeUIEiWIEmZH0mcH0qfHkuhHkukHkynHk2pHk2rHk6tHk+wH1CxIFGyIVKzIlO0I1W1JVa2Jle3J1i4" +
    "KFm5KVq6Klu7K1y8LV29Ll++L2C/MGHAMWLBMmPCM2TDNGXENmbFN2fGOGnHOWrHO2vIPGzJPW3JP27KQHDLQXHLQ3LMRHPNRXTN" +
    "R3XOSHbPSXjQS3nQTHrRTXvST3zSUH3TUX7UU4DUVIHVVYLWV4PXWITXWYXYWobZXIjZXYnaX4rbYIvbYYzcY43dZI7dZY/eZ5He" +
    "aJLfapPga5TgbJXhbpbhb5fi",
} as const;
