"""The demonstration: three proctored exams, played through HTTP alone.

`options` say how large and how fast; `cast` says who plays what; `stage` is the server;
`preparation` is the admin's work; `journey` is a student's exam day on a `device`;
`proctor` watches; `findings` asks the server at the end whether all of it is there.
"""
