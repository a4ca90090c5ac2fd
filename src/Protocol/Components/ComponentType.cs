namespace Marmot.Protocol.Components;

/// <summary>Numbers of Marmot's application components in the dictionary of a group context or leaf (adopted profile; draft-ietf-mls-extensions, component
/// ids).</summary>
public static class ComponentType
{
    /// <summary>marmot.group.profile.v1: name and description.</summary>
    public const ushort Profile = 0x8001;

    /// <summary>marmot.group.blossom.image.v1: the encrypted picture.</summary>
    public const ushort Picture = 0x8002;

    /// <summary>marmot.group.admin-policy.v1: the admins.</summary>
    public const ushort AdminPolicy = 0x8003;

    /// <summary>marmot.transport.nostr.routing.v1: public group id and relays.</summary>
    public const ushort NostrRouting = 0x8004;

    /// <summary>marmot.group.message-retention.v1: after how many seconds messages are deleted.</summary>
    public const ushort MessageRetention = 0x8005;

    /// <summary>marmot.agent-text-stream.quic.v1: roles and limits of text streams.</summary>
    public const ushort AgentTextStream = 0x8006;

    /// <summary>marmot.group.avatar-url.v1: a public picture.</summary>
    public const ushort AvatarUrl = 0x8007;

    /// <summary>marmot.group.encrypted-media.v1: frozen; forbidden as state of a current group.</summary>
    public const ushort FrozenMedia = 0x8008;

    /// <summary>marmot.account-identity-proof.v2: leaves only, never the group.</summary>
    public const ushort AccountIdentityProof = 0x8009;

    /// <summary>marmot.group.encrypted-media.v2: where media may lie.</summary>
    public const ushort MediaPolicy = 0x800b;

    /// <summary>marmot.group.lifecycle.v1: active or disbanded.</summary>
    public const ushort Lifecycle = 0x800c;

    /// <summary>The first number that is an application's own; those below are assigned by the draft.</summary>
    public const ushort FirstPrivate = 0x8000;

    /// <summary>
    /// Checks the body of one component of the group context: null when it may stand there. Unknown components are kept byte for byte, so any body of them is
    /// good; the proof, the frozen media policy and safe_aad are never state of a group.
    /// </summary>
    public static string? FaultInGroup(ushort component, ReadOnlySpan<byte> body)
    {
        Events.RejectReason reason = default;
        bool good = component switch
        {
            Profile => GroupProfile.TryRead(body, out _, out reason),
            Picture => GroupPicture.TryRead(body, out _, out reason),
            AdminPolicy => Components.AdminPolicy.TryRead(body, out _, out reason),
            NostrRouting => Components.NostrRouting.TryRead(body, out _, out reason),
            MessageRetention => Components.MessageRetention.TryRead(body, out _, out reason),
            AgentTextStream => Components.AgentTextStream.TryRead(body, out _, out reason),
            AvatarUrl => Components.AvatarUrl.TryRead(body, out _, out reason),
            MediaPolicy => Components.MediaPolicy.TryRead(body, out _, out reason),
            Lifecycle => GroupLifecycle.TryRead(body, out _, out reason),
            _ => true,
        };
        return component is FrozenMedia or AccountIdentityProof or SafeAad ? "the component is no state of a group" : good ? null : reason.Text;
    }

    private const ushort SafeAad = 0x0002; // draft-ietf-mls-extensions
}
