using System.Text.Json;
using Marmot.Relay.Tests.Kit;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Relay.Tests;

/// <summary>Vectors/nip42-auth.json: what a relay with that challenge and clock says to each AUTH event.</summary>
public sealed class RelayAuthTests
{
    private static readonly JsonElement Vectors =
        JsonDocument.Parse(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Vectors", "nip42-auth.json"))).RootElement;

    public static TheoryData<string> Names =>
        [.. Vectors.GetProperty("cases").EnumerateArray().Select(c => c.GetProperty("name").GetString()!)];

    [Theory]
    [MemberData(nameof(Names))]
    [Trait("Spec", "NIP-42")]
    public async Task Judges_as_the_vector_says(string name)
    {
        var vector = Vectors.GetProperty("cases").EnumerateArray().Single(c => c.GetProperty("name").GetString() == name);
        await using var relay = await RelayHost.StartAsync(Vectors.GetProperty("now").GetInt64());
        relay.Services.GetRequiredService<RelayIdentity>().CreateChallenge = () => Vectors.GetProperty("challenge").GetString()!;
        await using var client = await relay.ConnectAsync();
        using var held = relay.HoldDate();
        await client.SendAsync($"[\"AUTH\",{vector.GetProperty("event").GetRawText()}]");
        Assert.Equal(vector.GetProperty("expect").GetBoolean(), (await client.ReceiveOkAsync()).Accepted);
    }
}
