using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests;

/// <summary>The date of the machine is set back and forth by hours while the relay runs. Budgets, time limits, flushes and live delivery must not
/// notice.</summary>
public sealed class ClockStepTests
{
    private static readonly int[] Hours = [3, -5, 26, -25, 1, -48, 48];

    [Fact]
    public async Task Publishing_queries_and_live_delivery_go_on_while_the_date_steps_by_hours()
    {
        // A budget that these events use up by half: if it were counted by the date, a step back would stop them and a step forward would prove nothing.
        await using var relay = await RelayHost.StartAsync(settings: ["--Relay:LimitLoopback=true", "--Relay:WorkPerAddress=50000"]);
        await using var subscriber = await relay.ConnectAsync();
        Assert.Empty(await subscriber.QueryAsync("""{"kinds":[1]}""", "live", keep: true));
        using var key = SecretKey.Generate();
        var published = new List<string>();
        foreach (var hours in Hours)
        {
            relay.Clock.Advance(TimeSpan.FromHours(hours));
            await using var publisher = await relay.ConnectAsync();
            var now = relay.Clock.GetUtcNow().ToUnixTimeSeconds();
            var events = Enumerable.Range(0, 50).Select(i => NostrEvent.Create(key, 1, [], $"{hours} {i}", now - i)).ToArray();
            await publisher.PublishAllAsync(events);
            published.AddRange(events.Select(evt => evt.Id.ToString()));

            var heard = new List<string>();
            while (heard.Count < events.Length)
            {
                var message = await subscriber.ReceiveAsync();
                Assert.Equal("EVENT", message[0].GetString());
                heard.Add(message[2].GetProperty("id").GetString()!);
            }

            Assert.Equal(events.Select(evt => evt.Id.ToString()).Order(), heard.Order());
            Assert.Equal(published.Order(), (await publisher.QueryAsync("""{"kinds":[1],"limit":500}""")).Order());
        }
    }

    [Fact]
    public async Task What_was_stored_is_there_after_a_restart_with_the_date_a_day_back_or_ahead()
    {
        const long Now = 1_700_000_500;
        var folder = Directory.CreateTempSubdirectory("marmot-clock-").FullName;
        try
        {
            using var key = SecretKey.Generate();
            var evt = NostrEvent.Create(key, 1, [], "kept", Now);
            await using (var relay = await RelayHost.StartAsync(Now, folder))
            {
                await using var client = await relay.ConnectAsync();
                Assert.True((await client.PublishAsync(evt)).Accepted);
            }

            foreach (var now in new[] { Now - 86_400, Now + 86_400, Now })
            {
                await using var relay = await RelayHost.StartAsync(now, folder);
                await using var client = await relay.ConnectAsync();
                Assert.Equal([evt.Id.ToString()], await client.QueryAsync("""{"kinds":[1]}"""));
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
