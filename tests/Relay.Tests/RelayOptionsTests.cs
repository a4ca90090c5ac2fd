using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Tests;

public sealed class RelayOptionsTests
{
    [Fact]
    public async Task Keys_in_settings_are_npub_or_hex()
    {
        using var one = SecretKey.Generate();
        using var two = SecretKey.Generate();
        await using var relay = await RelayHost.StartAsync(settings:
        [
            $"--Relay:Admins:0={Nip19.EncodePublicKey(one.PublicKey)}", $"--Relay:Admins:1={two.PublicKey}",
                $"--Relay:WriteAllowList:0={Nip19.EncodePublicKey(two.PublicKey)}",
            $"--Relay:PublicKey={Nip19.EncodePublicKey(one.PublicKey)}",
        ]);
        var options = relay.Services.GetRequiredService<IOptions<RelayOptions>>().Value;
        Assert.Equal([one.PublicKey.ToString(), two.PublicKey.ToString()], options.Admins);
        Assert.Equal([two.PublicKey.ToString()], options.WriteAllowList);
        Assert.Equal(one.PublicKey.ToString(), options.PublicKey);
    }

    [Theory]
    [InlineData("Admins", "npub1nonsense")]
    [InlineData("Admins", "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5")]
    [InlineData("WriteAllowList", "ab")]
    [InlineData("PublicKey", "npub1nonsense")]
    public async Task Anything_else_is_reported(string setting, string text)
    {
        var place = setting == "PublicKey" ? "" : ":0";
        var refused = await Assert.ThrowsAsync<OptionsValidationException>(() => RelayHost.StartAsync(settings: [$"--Relay:{setting}{place}={text}"]));
        Assert.StartsWith($"Relay:{setting}: ", Assert.Single(refused.Failures), StringComparison.Ordinal);
    }
}
