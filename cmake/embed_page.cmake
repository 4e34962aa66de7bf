# Writes a .cpp with the page of `rook serve`: cmake -DFILE=page.html -DOUT=... -P embed_page.cmake
file(READ ${FILE} text)
file(WRITE ${OUT} "#include \"serve/service.h\"\n\nnamespace rook::serve {\n\nconst char* const kPage = R\"page(${text})page\";\n\n}  // namespace rook::serve\n")
