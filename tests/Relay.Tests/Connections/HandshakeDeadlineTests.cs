using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests.Connections;

/// <summary>Takes half a minute, so it stands alone.</summary>
public sealed class HandshakeDeadlineTests
{
    [Fact]
    public async Task The_head_of_a_handshake_has_one_time_limit_that_arriving_lines_do_not_extend()
    {
        await using var relay = await RelayHost.StartAsync();
        using var client = await RawClient.ConnectAsync(relay.Http);
        await client.SendAsync("GET / HTTP/1.1\r\n");
        var ended = client.IsEndedWithinAsync(TimeSpan.FromSeconds(75));
        for (var i = 0; i < 40 && !ended.IsCompleted; i++)
        {
            try
            {
                await client.SendAsync($"X-{i}: y\r\n");
            }
            catch (IOException)
            {
                break; // it has ended
            }

            await Task.WhenAny(ended, Task.Delay(TimeSpan.FromSeconds(2)));
        }

        Assert.True(await ended);
    }
}
