#include "agent/image.h"

extern const uint8_t fort_agent_image_start[], fort_agent_image_end[];

struct fort_span fort_agent_image(void)
{
	return (struct fort_span){fort_agent_image_start,
				  (size_t)(fort_agent_image_end - fort_agent_image_start)};
}
