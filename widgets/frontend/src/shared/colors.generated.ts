// Written by `python -m widgets.colors`; change the tables there.

/** 256 colours of three bytes each, in base64. */
export const TABLES = {
  weight:
    "/////v7+/f3+/Pz9+vv9+fr8+Pn89/n89fj89Pf88vb88fX87/T97vP97PL+6/H96fD96PD95+/95u785O384+z84uv74Or73+n7" +
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
    "Gh4lGh8mGx8nGyAoHCEpHCEqHCIrHSMtHSMuHiQvHiUwHyUxHyYyHyYzICc0ICg1ISg2ISk4ISo5Iio6Iis7Iyw8Iyw9JC0+JC5A" +
    "JC5BJS9CJTBDJjFEJjFFJzJGJzNIJzNJKDRKKDVLKDVMKTZOKTdPKjdQKjhSKjlTKzlUKzpWKztXLDtYLDxaLD1bLT5cLT5eLT9f" +
    "LkBhLkBiLkFjL0JlL0JmL0NoL0RpMERrMEVsMEZtMUZvMUdwMUhyMUlzMkl1Mkp3Mkt4Mkt6M0x7M019M01+M06ANE+BNE+DNFCF" +
    "NFGGNVKINVKJNVOKNlSMNlSNN1WON1aQOFeROFeSOFiUOVmVOVqWOlqYOluZO1yaO1ycO12dPF6ePF+gPV+hPWCiPmGkPmKlPmKm" +
    "P2OoP2SpQGWqQGWrQWatQWeuQmivQmixQ2myQ2qzQ2u1RGu2RWy3RW24Rm65Rm+7R2+8SHC9SHG+SXK/SXPASnPBS3TCS3XDTHbF" +
    "TXfGTXfHTnjIT3nJT3rKUHvLUXvMUXzNUn3OU37PU3/QVIDRVYDTVYHUVoLVV4PWV4TXWIXXWYXYWobZW4fZXIjaXYnaX4rbYIvb" +
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
    "/eXT/ebU/ufW/ujY/unZ/urb/uvd/uve/uzg/u3h/u7j/vDl/fHo/fLq/PPs/PTu/PXw/Pby/Pfz/fj0/fn2/fr3/fr4/vv6/vz7" +
    "/v38//7+/////////v7//f3+/P3++/z9+vv9+fr8+Pr89/n89vj89ff88/f88vb88fX88PT97vT97fP97PL+6/H96fH96PD95+/9" +
    "5u785e385O384+z84uv74er74Or73+n73uj63ef63Of62+b62uX52eT52OT51uP51eL41OH40+H40uD40d/30N73z933zt33zdz2" +
    "zNv2y9r2ytr2ydn1yNj1x9f1xtf1xdb0xNX0w9T0wtT0wNPzv9LzvtHzvdHzvNDzu8/yus7yuc3yuM3yt8zytsvxtcrxtMrxs8nx" +
    "scjxsMfwr8fwrsbwrcXwrMTwq8TvqsPvqcLvqMHvp8HvpsDvpb/vo77uor3uob3uoLzun7vunrrunbrtnLntm7jtmrftmbftl7bt" +
    "lrXtlbTslLTsk7PskrLskbHskLDsj7Drjq/rja7rjK3riq3riazqiKvqh6rqhqrqhanqhKjqg6fpgqbpgabpgKXpf6TofqPofaPo" +
    "fKLne6HneqDmeZ/meJ/md57l",
  signed_dark:
    "33sR3XoM3HkI23cE2nYA2HUA13UA1XQA1HMA0nIA0XEAz3AAzm8AzG8Ay24AyW0AyGwAxmsAxWoAw2kAwmgAwGgAv2cAvWYAvGUA" +
    "u2QAuWMAuGIAtmEAtWEBs2AGsGALrl8PrF8Tql4VqF4Ypl0apF0colweoFwfnlshnVsim1okmVoll1kmlVknk1gokVgpj1cqjVYr" +
    "i1YsilUsiFUthlQuhFMuglMvgFIvf1IwfVEwe1AxeVAxeE8xdk4ydE4yck0ycUwzb0wzbUszbEozakozaEk0Z0g0ZUg0Y0c0YkY0" +
    "YEU0X0U0XUQ0W0M0WkM0WUI0V0E0VkAzVD8zUz8zUj4yUD0yTzwyTTwyTDsxSzoxSTkxSDkxRzgwRTcwRDYwQjUvQTUvQDQvPjMu" +
    "PTIuPDIuOjEuOTAtOC8tNi8tNS4sNC0sMiwsMSwrMCsrLyorLSkqLCkqKygqKScpKCYpJyYpJSUoJCQoIyMoIiMnICInHyEmHiAm" +
    "HSAmGx8lGh4lGh4lGx8mGyAoHCApHCErHSIsHSMtHiQvHiUwHyYyHyYzICc0ICg2ISk3ISo5Iis6Iyw8Iyw9JC0/JC5AJS9BJTBD" +
    "JjFEJjJGJzJHJzNJKDRLKDVMKTZOKTdPKjhRKjlTKzpVKzpWLDtYLDxaLD1bLT5dLT9fLkBhLkFjLkFkL0JmL0NoMERqMEVsMEZu" +
    "MUdwMUhyMUl0Mkl1Mkp3Mkt5M0x7M019M05/NE+BNFCENFGGNVGHNVKJNlOLNlSNN1WON1aQOFeSOFiTOVmVOVqXOluZO1yaO12c" +
    "PF6ePF+fPWChPWGjPmGlPmKmP2OoQGSqQGWrQWatQWevQmixQ2myQ2q0RGu2RGy3RW25Rm66R2+7SHC9SHG+SXLASnPBS3TDTHXE" +
    "TXbFTXfHTnnIT3rKUHvLUXzMUn3OUn7PU3/RVIDSVYHTVoLVV4PWWITXWYXYWobZXIjZXYnaX4rbYIvbYYzcY43dZI7dZY/eZ5He" +
    "aJLfapPga5TgbJXhbpbhb5fi",
} as const;
