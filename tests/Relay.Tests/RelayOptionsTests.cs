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
    [InlineData("npub1nonsense")]
    [InlineData("nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5")]
    public async Task Anything_else_is_reported(string text)
    {
        var refused = await Assert.ThrowsAsync<OptionsValidationException>(() => RelayHost.StartAsync(settings: [$"--Relay:Admins:0={text}"]));
        Assert.Contains("Relay:Admins", Assert.Single(refused.Failures), StringComparison.Ordinal);
    }
}
