// libyaml as Debian ships it (libyaml-dev); only Configuration imports it.
#include <yaml.h>
