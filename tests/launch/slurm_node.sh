#!/usr/bin/env bash
# A Slurm of one node on this machine, for tests: `slurm_node.sh start FOLDER`, `slurm_node.sh stop FOLDER`.
# Needs Debian's slurmctld, slurmd, slurm-client and munge, and to be root. FOLDER/slurm.conf is its configuration.
set -euo pipefail
folder=$2 host=$(hostname -s)
export SLURM_CONF=$folder/slurm.conf

if [ "$1" = stop ]; then
    kill "$(cat "$folder/slurmctld.pid")" "$(cat "$folder/slurmd.pid")"
    exit
fi

mkdir -p "$folder/state" "$folder/spool" /run/munge
chown munge: /run/munge
[ -S /run/munge/munge.socket.2 ] && munge -n >/dev/null 2>&1 || su -s /bin/sh munge -c /usr/sbin/munged
cat >"$SLURM_CONF" <<CONF
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
# nothing of the kernel's is needed: no cgroups, no task affinity, no switch
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=low Nodes=$host Default=YES State=UP PriorityTier=1 GraceTime=30
PartitionName=high Nodes=$host State=UP PriorityTier=10
CONF
slurmctld
slurmd
for _ in $(seq 50); do
    [ "$(sinfo -h -o %T -p low 2>/dev/null)" = idle ] && exit
    sleep 0.2
done
echo "no idle node: see $folder/slurmctld.log and $folder/slurmd.log" >&2
exit 1
