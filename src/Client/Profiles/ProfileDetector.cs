using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;

namespace Marmot.Client.Profiles;

/// <summary>Tells the generations apart by what an event carries. Thread-safe.</summary>
public static class ProfileDetector
{
    /// <summary>Kind of a key package event that is replaced by its <c>d</c> tag.</summary>
    public const int KeyPackageKind = EventKinds.KeyPackage;

    /// <summary>Kind of a key package event of the first generation, still published beside the other by some.</summary>
    public const int LegacyKeyPackageKind = EventKinds.LegacyKeyPackage;

    /// <summary>How errors name the generation that is recognised and refused.</summary>
    internal const string AdoptedName = "the adopted Marmot protocol (P3, July 2026), which this account does not speak";

    private const int ShortestNip44 = 99;

    /// <summary>The generation of a key package event; <see cref="MarmotProfile.Unknown"/> for mixtures and other kinds. Checks nothing else.</summary>
    public static MarmotProfile OfKeyPackage(NostrEvent evt)
    {
        bool hasComponents = evt.Tags.Any(tag => tag[0] == "app_components");
        string? encoding = evt.TagValue("encoding");
        if (evt.Kind == LegacyKeyPackageKind)
        {
            return hasComponents ? MarmotProfile.Unknown
                : encoding == "base64" && evt.Tags.Any(tag => tag[0] == "mls_proposals") ? MarmotProfile.Mip
                : MarmotProfile.Legacy;
        }

        if (evt.Kind != KeyPackageKind || Start(evt.Content) is not [0, 1, 0, var second])
        {
            return MarmotProfile.Unknown;
        }

        // A bare KeyPackage goes on with the cipher suite 1, an MLSMessage with the wire format 5.
        return (hasComponents, second) switch
        {
            (true, 5) when encoding is null => MarmotProfile.Adopted,
            (false, 1) when encoding is not null => MarmotProfile.Mip,
            _ => MarmotProfile.Unknown,
        };
    }

    /// <summary>True when a group event may be in the NIP-44 envelope of the first generation: ask only after the keys of the group have failed, since a nonce
    /// may look like it.</summary>
    public static bool MayBeLegacyEnvelope(GroupEvent evt) => evt.Sealed.Length >= ShortestNip44 && evt.Sealed[0] == 2;

    /// <summary>The generation of a group by its context; <see cref="MarmotProfile.Unknown"/> when it is no Marmot group.</summary>
    public static MarmotProfile OfGroup(IEnumerable<Extension> contextExtensions)
    {
        foreach (var extension in contextExtensions)
        {
            if (extension.Type == GroupData.ExtensionType && extension.Data.Length > 1)
            {
                return extension.Data[0] == 0 && extension.Data[1] == 1 ? MarmotProfile.Legacy : MarmotProfile.Mip;
            }

            if (extension.Type == 0x0006)
            {
                return MarmotProfile.Adopted;
            }
        }

        return MarmotProfile.Unknown;
    }

    // The first four bytes behind base64.
    private static byte[] Start(string base64)
    {
        byte[] bytes = new byte[6];
        return base64.Length >= 8 && Convert.TryFromBase64String(base64[..8], bytes, out _) ? bytes[..4] : [];
    }
}
