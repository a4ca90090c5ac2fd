using Marmot.Hosting.Health;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Marmot.Relay.Tests.Replicas;

/// <summary>A PostgreSQL that answers nonsense is away, with a reason: the relay starts, refuses, and goes on.</summary>
public sealed class NonsenseDatabaseTests
{
    private const long Now = 1_700_000_500;

    [Theory]
    [InlineData("http", false)]
    [InlineData("bytes", false)]
    [InlineData("close", true)]
    [InlineData("zeros", true)]
    [InlineData("bytes", true)]
    [InlineData("pg length", true)]
    [InlineData("pg row", true)]
    [InlineData("pg error", true)]
    public async Task A_relay_refuses_with_a_reason_while_its_database_answers_nonsense(string kind, bool afterStart)
    {
        await using var server = NonsenseServer.Start(kind, afterStart);
        await using var relay = await RelayHost.StartAsync(Now, null,
            $"--Storage:Postgres=Host=127.0.0.1;Port={server.Port};Username=a;Database=a;Timeout=2;Command Timeout=2", "--Cluster:PollInterval=00:00:00.2");
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var (accepted, text) = await client.PublishAsync(NostrEvent.Create(key, 1, [], "", Now));
        Assert.False(accepted);
        Assert.StartsWith("error: ", text, StringComparison.Ordinal);
        await client.SendAsync("[\"REQ\",\"q\",{\"kinds\":[1]}]");
        var answer = await client.ReceiveAsync();
        Assert.Equal("CLOSED", answer[0].GetString());
        Assert.StartsWith("error: ", answer[2].GetString(), StringComparison.Ordinal);

        var storage = relay.Services.GetServices<IHealthPart>().Single(part => part.Name == "storage").Check();
        Assert.False(storage.Ready);
        Assert.StartsWith("PostgreSQL ", storage.Detail, StringComparison.Ordinal);
        var before = server.Asked;
        for (var i = 0; i < 200 && server.Asked == before; i++)
        {
            await Task.Delay(100);
        }

        Assert.True(server.Asked > before); // it asks again
        Assert.False(relay.Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping.IsCancellationRequested);
    }
}
