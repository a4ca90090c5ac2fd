using Marmot.Client.Profiles;
using Marmot.Client.Tests.Support;
using Marmot.Protocol.Groups;

namespace Marmot.Client.Tests.Vectors;

public class ProfileVectorTests
{
    [Fact]
    public void Infers_the_published_generation_of_every_event()
    {
        var cases = VectorFile.Read("profile-detection.json").GetProperty("cases");
        Assert.Equal(10, cases.GetArrayLength());
        foreach (var vector in cases.EnumerateArray())
        {
            var evt = vector.Event("event");
            string name = vector.Text("name");
            if (evt.Kind == GroupEvent.Kind)
            {
                // The group decides between the later two; only the first generation's envelope shows itself.
                Assert.True(GroupEvent.TryParse(evt, out var envelope, out _), name);
                Assert.Equal((name, vector.Text("profile") == "P1"), (name, ProfileDetector.MayBeLegacyEnvelope(envelope)));
                continue;
            }

            var expected = vector.Text("profile") switch
            {
                "P1" => MarmotProfile.Legacy,
                "P2" => MarmotProfile.Mip,
                "adopted" => MarmotProfile.Adopted,
                _ => MarmotProfile.Unknown,
            };
            Assert.Equal((name, expected), (name, ProfileDetector.OfKeyPackage(evt)));
        }
    }
}
