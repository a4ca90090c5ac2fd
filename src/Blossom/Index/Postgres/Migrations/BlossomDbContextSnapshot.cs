using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;

namespace Marmot.Blossom.Index.Postgres.Migrations;

/// <summary>The model after the last migration. A test compares it with <see cref="BlossomDbContext"/>, so that a change without a migration is
/// noticed.</summary>
[DbContext(typeof(BlossomDbContext))]
internal sealed class BlossomDbContextSnapshot : ModelSnapshot
{
    protected override void BuildModel(ModelBuilder modelBuilder)
    {
        const string Space = "Marmot.Blossom.Index.Postgres.BlossomDbContext+";
        modelBuilder.Entity(Space + "BlobRow", blob =>
        {
            blob.Property<byte[]>("Hash").HasColumnType("bytea").HasColumnName("hash");
            blob.Property<Guid>("Mark").HasColumnType("uuid").HasColumnName("mark");
            blob.Property<long>("Read").HasColumnType("bigint").HasColumnName("read").HasDefaultValue(0L);
            blob.Property<long>("Size").HasColumnType("bigint").HasColumnName("size");
            blob.Property<string>("Type").IsRequired().HasMaxLength(127).HasColumnType("character varying(127)").HasColumnName("type");
            blob.HasKey("Hash").HasName("blossom_blobs_key");
            blob.ToTable("blossom_blobs");
        });
        modelBuilder.Entity(Space + "ClaimRow", claim =>
        {
            claim.Property<byte[]>("Hash").HasColumnType("bytea").HasColumnName("hash");
            claim.Property<byte[]>("Owner").HasColumnType("bytea").HasColumnName("owner");
            claim.Property<long?>("Expires").HasColumnType("bigint").HasColumnName("expires");
            claim.Property<long>("Uploaded").HasColumnType("bigint").HasColumnName("uploaded");
            claim.HasKey("Hash", "Owner").HasName("blossom_claims_key");
            claim.HasIndex("Expires").HasDatabaseName("blossom_claims_by_end").HasFilter("expires IS NOT NULL");
            claim.HasIndex("Owner", "Uploaded", "Hash").IsDescending(false, true, false).HasDatabaseName("blossom_claims_by_owner");
            claim.HasOne(Space + "BlobRow", null).WithMany().HasForeignKey("Hash").OnDelete(DeleteBehavior.Cascade).IsRequired()
                .HasConstraintName("blossom_claims_blob");
            claim.ToTable("blossom_claims");
        });
        modelBuilder.Entity(Space + "RemovedRow", removed =>
        {
            removed.Property<byte[]>("Digest").HasColumnType("bytea").HasColumnName("digest");
            removed.Property<long>("Removed").HasColumnType("bigint").HasColumnName("removed");
            removed.Property<long>("Uploaded").HasColumnType("bigint").HasColumnName("uploaded");
            removed.HasKey("Digest").HasName("blossom_removed_key");
            removed.HasIndex("Removed").HasDatabaseName("blossom_removed_by_time");
            removed.ToTable("blossom_removed");
        });
        modelBuilder.Entity(Space + "FactRow", fact =>
        {
            fact.Property<string>("Name").HasColumnType("text").HasColumnName("name");
            fact.Property<byte[]>("Value").IsRequired().HasColumnType("bytea").HasColumnName("value");
            fact.HasKey("Name").HasName("blossom_facts_key");
            fact.ToTable("blossom_facts");
        });
    }
}
