#include "backend/cuda/connection.h"

namespace fedlora::cuda {

Connection::Connection(const Api& api, const OpenRequest& request) : api_(api) {
  Status status;
  check(api.describe(request.device, &device_, &status), status);
  check(api.open(&request, &context_, &status), status);
}

}  // namespace fedlora::cuda
