using System.Globalization;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Relay.Storage;
using Microsoft.Extensions.Options;

namespace Marmot.Relay;

/// <summary>What annotations cannot say: retention floors and key lists. Reports every mistake at once.</summary>
internal sealed class RelayOptionsValidator : IValidateOptions<RelayOptions>
{
    /// <summary>MDK reads group events up to 45 days back.</summary>
    private const int MinGroupEventDays = 45;

    /// <summary>Wraps are dated up to two days back and devices sleep for weeks.</summary>
    private const int MinGiftWrapDays = 30;

    /// <summary>Clients give a request up after ten seconds or later.</summary>
    private static readonly TimeSpan MaxAuthWait = TimeSpan.FromSeconds(10);

    public ValidateOptionsResult Validate(string? name, RelayOptions options)
    {
        var mistakes = new List<string>();
        foreach (var (text, days) in options.RetentionDays)
        {
            if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var kind) || kind > ushort.MaxValue)
            {
                mistakes.Add($"Relay:RetentionDays:{text}: the key is a kind, 0 to 65535");
                continue;
            }

            var floor = kind switch { EventKinds.GroupEvent => MinGroupEventDays, EventKinds.GiftWrap => MinGiftWrapDays, _ => 1 };
            if (days < floor)
            {
                mistakes.Add($"Relay:RetentionDays:{text}: at least {floor} days, clients look back that far");
            }
        }

        foreach (var (list, keys) in new[] { (nameof(options.WriteAllowList), options.WriteAllowList), (nameof(options.Admins), options.Admins) })
        {
            if (!Array.TrueForAll(keys, key => Bytes32.TryParseHex(key.AsSpan(), out _)))
            {
                mistakes.Add($"Relay:{list}: every entry is a public key: an npub or 64 lower-case hex digits");
            }
        }

        if (options.PublicKey.Length > 0 && !Bytes32.TryParseHex(options.PublicKey.AsSpan(), out _))
        {
            mistakes.Add("Relay:PublicKey: a public key: an npub or 64 lower-case hex digits");
        }

        if (options.AuthWait < TimeSpan.Zero || options.AuthWait > MaxAuthWait)
        {
            mistakes.Add("Relay:AuthWait: 0 to 10 seconds");
        }

        if (options.WritePolicyProgram.Length > 0 && !File.Exists(options.WritePolicyProgram))
        {
            mistakes.Add("Relay:WritePolicyProgram: there is no such file");
        }

        return mistakes.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(mistakes);
    }
}
